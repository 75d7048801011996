//go:build !linux

package watch

import "os"

// openFlags: none are the same everywhere.
const openFlags = 0

// isBeingWritten reports whether a process has the file open for writing, which
// this system does not tell.
func isBeingWritten(*os.File) bool { return false }
