package api

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// SteadyReader reads a file that nobody changes meanwhile. It looks at size and
// modification time again before it gives out the last bytes, so that a mixed
// content is never complete.
type SteadyReader struct {
	file   *os.File
	before fs.FileInfo
	name   string
	left   int64
}

// NewSteadyReader reads file from its offset, which is its beginning, on; before is
// what was known of it when it was opened, and name what it is called to people. A file
// that is said to be empty and is not, as those of /proc, is an error with the ID "unsized".
func NewSteadyReader(file *os.File, before fs.FileInfo, name string) (*SteadyReader, error) {
	if before.Size() == 0 {
		n, err := file.ReadAt(make([]byte, 1), 0)
		if n == 0 && !errors.Is(err, io.EOF) {
			return nil, Reading(err)
		}
		if n > 0 {
			if now, err := file.Stat(); err == nil && now.Size() > 0 {
				return nil, changed(name)
			}
			return nil, unsized(name)
		}
	}
	return &SteadyReader{file: file, before: before, name: name, left: before.Size()}, nil
}

// Read reads the next bytes. The error of a file that was changed has the ID
// "changed".
func (r *SteadyReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		return 0, changed(r.name)
	}
	if err != nil {
		return 0, Reading(err)
	}
	if r.left > 0 {
		return n, nil
	}
	now, err := r.file.Stat()
	if err != nil {
		return 0, Reading(err)
	}
	if now.Size() != r.before.Size() || !now.ModTime().Equal(r.before.ModTime()) {
		return 0, changed(r.name)
	}
	return n, nil
}

func changed(name string) error {
	return &Error{
		Code:    ExitError,
		ID:      "changed",
		Message: fmt.Sprintf("%q was changed while it was being stored; nothing was stored", name),
		Hint:    "store it again when it is finished",
	}
}

func unsized(name string) error {
	return &Error{
		Code:    ExitError,
		ID:      "unsized",
		Message: fmt.Sprintf("%q is said to be empty and is not; nothing was stored", name),
		Hint:    "store what it has now:  dhtfs store - --as NAME < FILE",
	}
}
