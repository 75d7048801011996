//go:build unix

package filestore

import "golang.org/x/sys/unix"

func makePipe(at string) error { return unix.Mkfifo(at, 0o600) }
