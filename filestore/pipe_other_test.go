//go:build !unix

package filestore

import "errors"

func makePipe(string) error { return errors.ErrUnsupported }
