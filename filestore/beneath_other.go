//go:build !linux

package filestore

import (
	"errors"
	"os"
)

func readBeneath(*os.File, string, int64) ([]byte, error) { return nil, errors.ErrUnsupported }
