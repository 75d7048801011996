//go:build !linux && !darwin

package cli

import (
	"errors"
	"io/fs"
	"os"
)

// probeAttribute is an error: there are no extended attributes here.
func probeAttribute(*os.File) error { return errors.ErrUnsupported }

// openFileLimit is an error: it is not known here.
func openFileLimit() (uint64, error) { return 0, errors.ErrUnsupported }

// exposed reports false: the mode does not tell here.
func exposed(fs.FileMode) bool { return false }
