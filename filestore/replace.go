package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ReplaceFile makes content what the file at path has, durably and for its owner
// alone. Whoever reads it meanwhile, or after a crash, gets the old content or the
// new one. It is for small files of a node's home other than a store's own.
func ReplaceFile(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err == nil {
		err = syncDirAt(filepath.Dir(path))
	} else {
		_ = os.Remove(temp.Name())
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

// syncDirAt makes the names in a directory durable.
func syncDirAt(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDirFile(f), f.Close())
}
