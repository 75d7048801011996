package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/dustin/go-humanize"

	samplefiles "github.com/dhtfs/dhtfs/sample-files"
)

// file is one file of the demo: its name on the ring and where it came from.
type file struct {
	name string
	path string
	size int64
}

// unpackSamples writes the sample files to dir and returns the paths to store.
func unpackSamples(dir string) ([]string, error) {
	if err := os.CopyFS(dir, samplefiles.FS()); err != nil {
		return nil, fmt.Errorf("unpack the sample files: %w", err)
	}
	return filepath.Glob(filepath.Join(dir, "*"))
}

// gather lists the regular files of paths under the names that the store
// command gives them: a file's own name, and a directory's name before those of
// the files in it.
func gather(paths []string) ([]file, error) {
	var all []file
	from := map[string]string{}
	for _, top := range paths {
		absolute, err := filepath.Abs(top)
		if err != nil {
			return nil, err
		}
		root, err := filepath.EvalSymlinks(absolute) // an argument may be a link; links in a directory are left out
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			below, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			name := path.Join(filepath.Base(absolute), filepath.ToSlash(below))
			f := file{name: name, path: p, size: info.Size()}
			if other, taken := from[f.name]; taken {
				return fmt.Errorf("%s and %s would both be stored as %q", other, p, f.name)
			}
			from[f.name] = p
			all = append(all, f)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no file to store")
	}
	return all, nil
}

// compare checks that dir holds every file, byte for byte, and nothing else.
// It returns how many are the same, and ErrDiffers for the first that is not.
func compare(files []file, dir string) (same int, err error) {
	known := map[string]bool{}
	for _, f := range files {
		known[f.name] = true
		equal, err := equalContent(f.path, filepath.Join(dir, filepath.FromSlash(f.name)))
		if err != nil {
			return same, err
		}
		if !equal {
			return same, fmt.Errorf("%q: %w", f.name, ErrDiffers)
		}
		same++
	}
	return same, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !known[path.Clean(name)] {
			err = fmt.Errorf("%q was fetched and never stored: %w", name, ErrDiffers)
		}
		return err
	})
}

// equalContent compares two files without holding them in memory.
func equalContent(a, b string) (bool, error) {
	const piece = 256 << 10
	var (
		open    [2]*os.File
		buffers [2][]byte
	)
	for i, name := range []string{a, b} {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer func() { _ = f.Close() }() // read only
		open[i], buffers[i] = f, make([]byte, piece)
	}
	for {
		n, errA := io.ReadFull(open[0], buffers[0])
		m, errB := io.ReadFull(open[1], buffers[1])
		if !bytes.Equal(buffers[0][:n], buffers[1][:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			switch {
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				return true, nil // of one and so of both: they gave as many bytes
			case err != nil:
				return false, err
			}
		}
	}
}

func size(files []file) int64 {
	var n int64
	for _, f := range files {
		n += f.size
	}
	return n
}

func amount(files []file) string {
	plural := "s"
	if len(files) == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d file%s, %s", len(files), plural, humanize.IBytes(uint64(size(files))))
}
