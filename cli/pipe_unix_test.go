//go:build unix

package cli

import "golang.org/x/sys/unix"

func mkfifo(at string) error { return unix.Mkfifo(at, 0o600) }
