package api

import "fmt"

// Reading is err, of a local file that is to be stored, as it crosses the API: it
// is no failure of the ring.
func Reading(err error) *Error {
	return &Error{Code: ExitError, ID: "local_file", Message: fmt.Sprintf("cannot read: %v", err)}
}

// Writing is err, of a local file that is being fetched to.
func Writing(err error) *Error {
	failure := &Error{Code: ExitError, ID: "local_file", Message: fmt.Sprintf("cannot write: %v", err)}
	if DiskFull(err) {
		failure.Code, failure.ID = ExitNoSpace, "local_disk_full"
		failure.Hint = "make room on this disk, and call the same command again"
	}
	return failure
}
