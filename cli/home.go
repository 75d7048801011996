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
	return token, replaceFile(path, []byte(token+"\n"))
}

// retire moves what a node that has left its ring still has out of the way, so
// that the home can join or start another one.
func retire(p paths, now time.Time) error {
	aside := filepath.Join(p.State, "left", now.UTC().Format("20060102-150405"))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("set the old membership aside: %w", err)
	}
	for _, path := range []string{p.Membership, filepath.Join(p.Data, "files"), filepath.Join(p.Data, "registers.db")} {
		err := os.Rename(path, filepath.Join(aside, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the old membership aside: %w", err)
		}
	}
	return nil
}
