//go:build unix

package cli

import "syscall"

// detached lets a child live on when the terminal is closed.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
