//go:build !linux && !darwin

package filestore

import (
	"errors"
	"os"
)

func setAttr(*os.File, []byte) error   { return errors.ErrUnsupported }
func getAttr(*os.File) ([]byte, error) { return nil, errors.ErrUnsupported }
