package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// loadToken reads the bearer token of the HTTP port, or makes one.
func loadToken(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if token := strings.TrimSpace(string(raw)); err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the token of the HTTP port: %w", err)
	}
	token := rand.Text() + rand.Text()
	return token, filestore.ReplaceFile(path, []byte(token+"\n"))
}

// retire takes what a node that has left its ring still has out of the way, so
// that the home can join or start another one. Files that nobody took over stay
// in a folder of their own, which is kept; without such files that is empty.
func retire(p paths, now time.Time) (kept string, err error) {
	aside := filepath.Join(p.leftDir(), now.UTC().Format("20060102-150405"))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("set the old membership aside: %w", err)
	}
	paths := []string{p.Membership}
	for _, part := range []string{"files", "journal-0", "journal-1", "registers.db"} {
		paths = append(paths, filepath.Join(p.Data, part))
	}
	for _, path := range paths {
		err := os.Rename(path, filepath.Join(aside, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set the old membership aside: %w", err)
		}
	}
	// Its folders were to be published on that ring, and not on the next one.
	if err := os.RemoveAll(p.watchDir()); err != nil {
		return "", fmt.Errorf("stop watching: %w", err)
	}
	if holdsFiles(filepath.Join(aside, "files")) {
		return aside, nil
	}
	if err := os.RemoveAll(aside); err != nil {
		return "", fmt.Errorf("remove the old membership: %w", err)
	}
	_ = os.Remove(filepath.Dir(aside)) // stays while it holds what an earlier ring left
	return "", nil
}

// keptFiles are the folders with what nodes of this home had when they left.
func keptFiles(p paths) []string {
	entries, _ := os.ReadDir(p.leftDir()) // which is mostly not there
	var dirs []string
	for _, e := range entries {
		dirs = append(dirs, filepath.Join(p.leftDir(), e.Name()))
	}
	return dirs
}

// holdsFiles reports whether there is any file below dir that a user stored.
func holdsFiles(dir string) bool {
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir // the store's own
		case entry.Type().IsRegular():
			return fs.ErrExist
		}
		return nil
	})
	return err != nil
}
