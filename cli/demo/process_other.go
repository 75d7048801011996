//go:build !unix

package demo

import (
	"os"
	"os/exec"
)

// ownGroup has nothing to do where there are no process groups.
func ownGroup(*exec.Cmd) {}

// gone reports whether a process has ended.
func gone(pid int) bool {
	process, err := os.FindProcess(pid) // opens the process
	if err != nil {
		return true
	}
	return process.Release() != nil
}
