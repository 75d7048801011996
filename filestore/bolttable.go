package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const tableFile = "registers.db"

// boltBucket is the one bucket of the table.
var boltBucket = []byte("filestore")

// boltTable is a table in a bbolt database.
type boltTable struct{ db *bolt.DB }

func (d *osDisk) openTable(create bool) (_ table, err error) {
	defer guard(&err)()
	if !create {
		info, err := d.root.Lstat(tableFile)
		if err != nil {
			return nil, err
		}
		if info.Size() == 0 { // bbolt would take it for a new one
			return nil, fmt.Errorf("%w: empty file", errDamagedTable)
		}
	}
	db, err := bolt.Open(filepath.Join(d.dir, tableFile), 0o600, &bolt.Options{
		Timeout:      time.Second, // its lock can only be held by a stranger
		FreelistType: bolt.FreelistMapType,
		OpenFile: func(_ string, flag int, perm os.FileMode) (*os.File, error) {
			return d.root.OpenFile(tableFile, flag, perm)
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrLocked, tableFile)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", errDamagedTable, err)
	case err != nil:
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if !create && tx.Bucket(boltBucket) == nil {
			return fmt.Errorf("%w: no bucket", errDamagedTable)
		}
		_, err := tx.CreateBucketIfNotExists(boltBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltTable{db}, nil
}

func (d *osDisk) setTableAside() error {
	files := []string{tableFile, journalFile(0), journalFile(1)}
	for i := 1; ; i++ {
		free := true
		for _, f := range files {
			if _, err := d.root.Lstat(damagedFile(f, i)); err == nil {
				free = false
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if !free {
			continue
		}
		for _, f := range files {
			if err := d.root.Rename(f, damagedFile(f, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
}

func damagedFile(file string, i int) string { return fmt.Sprintf("%s.damaged-%d", file, i) }

func (t *boltTable) get(key []byte) (value []byte, err error) {
	defer guard(&err)()
	err = t.db.View(func(tx *bolt.Tx) error {
		value = bytes.Clone(tx.Bucket(boltBucket).Get(key))
		return nil
	})
	return value, err
}

func (t *boltTable) page(after []byte, n int) (pairs []pair, err error) {
	defer guard(&err)()
	err = t.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(boltBucket).Cursor()
		k, v := c.Seek(after)
		if k != nil && bytes.Equal(k, after) {
			k, v = c.Next()
		}
		for ; k != nil && len(pairs) < n; k, v = c.Next() {
			pairs = append(pairs, pair{bytes.Clone(k), bytes.Clone(v)})
		}
		return nil
	})
	return pairs, err
}

func (t *boltTable) apply(writes []write) (err error) {
	defer guard(&err)()
	err = t.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(boltBucket)
		for _, w := range writes {
			var err error
			if w.value == nil {
				err = b.Delete(w.key)
			} else {
				err = b.Put(w.key, w.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	// A write that the disk has no room for is reported before the commit is
	// written down, so nothing happened. Any other failure, above all one of
	// the sync, leaves open what the disk holds.
	var failed *os.PathError
	if errors.As(err, &failed) && isNoSpace(failed.Err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func (t *boltTable) close() error { return t.db.Close() }

// guard turns what a damaged database makes bbolt do, a panic or a fault in
// its memory map, into errDamagedTable. Use: defer guard(&err)().
func guard(err *error) func() {
	fault := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(fault)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v", errDamagedTable, p)
		}
	}
}
