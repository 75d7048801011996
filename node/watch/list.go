package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dhtfs/dhtfs/filestore"
)

// list is the file with the folders.
type list struct {
	Format  int      `json:"dhtfs_watch_list"`
	Folders []Folder `json:"folders"`
}

const listFormat = 1

func (s *Service) listPath() string { return filepath.Join(s.cfg.Dir, "folders.json") }

// statePath is the state file of a folder.
func (s *Service) statePath(f *Folder) string {
	sum := sha256.Sum256([]byte(f.Dir))
	return filepath.Join(s.cfg.Dir, hex.EncodeToString(sum[:8])+".state")
}

// loadList reads the folders that are to be watched; none where there is no list.
func loadList(path string) ([]Folder, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var l list
	if err == nil {
		err = json.Unmarshal(raw, &l)
	}
	if err == nil && l.Format != listFormat {
		err = fmt.Errorf("format %d is not known", l.Format)
	}
	for i := range l.Folders {
		if err == nil {
			err = l.Folders[i].validate()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the watched folders from %s: %w", path, err)
	}
	return l.Folders, nil
}

// saveList replaces the list, all or nothing.
func saveList(path string, entries []*entry) error {
	l := list{Format: listFormat, Folders: []Folder{}}
	for _, e := range entries {
		l.Folders = append(l.Folders, e.folder)
	}
	raw, err := json.MarshalIndent(l, "", "  ")
	if err == nil {
		err = filestore.ReplaceFile(path, append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the watched folders: %w", err)
	}
	return nil
}
