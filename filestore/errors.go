package filestore

import (
	"errors"
	"fmt"
)

// What can go wrong. Errors of this package wrap one of these or come from the
// operating system.
var (
	ErrNotFound  = errors.New("not found")                          // no such content here
	ErrCorrupt   = errors.New("content is damaged")                 // bytes that do not match their hash, or cannot be read
	ErrBadName   = errors.New("bad name")                           // see ValidateName
	ErrCollision = errors.New("another file has this name on disk") // a file is in the way: other case, other normal form, or a stranger
	ErrNoSpace   = errors.New("no space")                           // a *SpaceError, or the disk ran full while writing
	ErrNoContent = errors.New("content is not held")                // a live record may not be accepted before its content
	ErrLocked    = errors.New("directory is in use by another process")
	ErrDegraded  = errors.New("disk failed, nothing more is written") // a sync or a write failed, or the table is damaged; until the next Open
	ErrClosed    = errors.New("store is closed")
)

// SpaceError says how much room a refused file needed. It matches ErrNoSpace.
type SpaceError struct {
	Needed int64 // bytes
	Free   int64 // bytes that this store may still fill
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("no space: %d bytes needed, %d free", e.Needed, e.Free)
}

// Is makes errors.Is(err, ErrNoSpace) true.
func (e *SpaceError) Is(target error) bool { return target == ErrNoSpace }
