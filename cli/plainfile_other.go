//go:build !linux

package cli

import (
	"errors"
	"os"
	"time"
)

func writeNew(int, string, []byte, os.FileMode, time.Time, bool) error { return errors.ErrUnsupported }

func renameNew(int, string, string) error { return errors.ErrUnsupported }
