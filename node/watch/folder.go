package watch

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dhtfs/dhtfs/filestore"
)

// Errors of adding and removing folders.
var (
	ErrNoFolder = errors.New("no folder")                                       // the path is none, or cannot be read
	ErrOverlap  = errors.New("the folder overlaps")                             // with another, or with the node's home
	ErrUnknown  = errors.New("the folder is not watched")                       // see Status for those that are
	ErrTwice    = fmt.Errorf("%w: it is watched already", ErrOverlap)           // the same folder
	ErrOption   = errors.New("the folder cannot be watched with these options") // see the text
)

// OnDelete says what becomes of the ring's copy of a file that is removed from
// its folder.
type OnDelete string

// The zero value is Keep.
const (
	Keep   OnDelete = "keep"   // it stays
	Remove OnDelete = "remove" // it is removed, unless somebody has changed it since
)

// Folder is a folder that is watched, and how.
type Folder struct {
	Dir      string   `json:"dir"`       // absolute, without links
	Prefix   string   `json:"prefix"`    // put before the path in the folder to make a name
	OnDelete OnDelete `json:"on_delete"` // Keep or Remove
	Exclude  []string `json:"exclude"`   // patterns like the lines of an ignore file, which go before those
}

// name is what a file of the folder is published under.
func (f *Folder) name(path string) string { return f.Prefix + path }

// settle completes a folder that was just asked for and checks that it can be watched.
func (f *Folder) settle() error {
	dir, err := filepath.Abs(f.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoFolder, err)
	}
	f.Dir = dir
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("%w: %s is a file", ErrNoFolder, dir)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrNoFolder, err)
	}
	f.OnDelete = cmp.Or(f.OnDelete, Keep)
	if f.Exclude == nil {
		f.Exclude = []string{}
	}
	return f.validate()
}

// validate checks what does not depend on the disk.
func (f *Folder) validate() error {
	if f.OnDelete != Keep && f.OnDelete != Remove {
		return fmt.Errorf("%w: on delete: %q is not keep or remove", ErrOption, f.OnDelete)
	}
	if err := filestore.ValidateName(f.Prefix + "x"); err != nil {
		return fmt.Errorf("%w: prefix %q: %w", ErrOption, f.Prefix, err)
	}
	if _, err := baseRules(f.Exclude); err != nil {
		return fmt.Errorf("%w: %w", ErrOption, err)
	}
	return nil
}

// clash says why two folders cannot both be watched: one file would be
// published twice, or two under one name.
func (f *Folder) clash(o *Folder) error {
	switch {
	case f.Dir == o.Dir:
		return fmt.Errorf("%w: %s", ErrTwice, o.Dir)
	case within(f.Dir, o.Dir):
		return fmt.Errorf("%w: %s lies in %s, which is watched", ErrOverlap, f.Dir, o.Dir)
	case within(o.Dir, f.Dir):
		return fmt.Errorf("%w: %s, which is watched, lies in %s", ErrOverlap, o.Dir, f.Dir)
	case strings.HasPrefix(f.Prefix, o.Prefix) || strings.HasPrefix(o.Prefix, f.Prefix):
		return fmt.Errorf("%w: its names, which begin with %q, could be names of %s, which begin with %q: give each folder a prefix of its own",
			ErrOverlap, f.Prefix, o.Dir, o.Prefix)
	}
	return nil
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}
