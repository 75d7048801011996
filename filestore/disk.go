package filestore

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// Disk is what a Store stands on: a tree of files with a table beside it. The
// two there are OSDisk and *MemDisk. A Disk serves one Store at a time.
//
// Paths are relative and use "/". Nothing follows a symbolic link.
type Disk interface {
	// lock takes the disk for one Store, or returns ErrLocked.
	lock() (unlock func(), err error)

	// openTable opens the table. Without create, a missing one is
	// fs.ErrNotExist; a new one is durable with the next syncDir(".").
	openTable(create bool) (table, error)
	// setTableAside moves a closed, damaged table out of the way, and its journal.
	setTableAside() error

	open(path string) (file, error)   // for reading; only a regular file
	create(path string) (file, error) // fails if anything is there
	// edit opens a regular file for reading and writing anywhere, and makes it if there
	// is none.
	edit(path string) (editable, error)
	mkdir(path string) error // succeeds if the directory is there
	list(dir string) ([]fs.DirEntry, error)
	stat(path string) (fs.FileInfo, error) // of a link: the link
	rename(from, to string) error          // replaces to, atomically
	remove(path string) error
	touch(path string, mode fs.FileMode, modified time.Time) error // zero time: leave it
	// install makes files of dir, see placing. Nothing is synced. When there is no such
	// directory the first of them, if not all, is fs.ErrNotExist.
	install(dir string, files []*placing)
	// readAll returns the first size bytes, or an error if there are fewer. The caller
	// checks them, so that it need not care what kind of file they are from.
	readAll(path string, size int64) ([]byte, error)
	syncDir(dir string) error   // makes creates, renames and removes in dir durable
	flush(files []string) error // sync of all of them and syncDir of where they are
	free() (int64, error)       // bytes that may still be written
	setAside() error            // keeps reserveSize of them for giveBack, unless it does already
	giveBack() error
	path(path string) string // for people
}

// file is an open file. Written, it grows at its end.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	size() (int64, error)
	sync() error // makes data, mode, times and attribute durable
	uncache()    // has what is read next come from the disk, where the system can be told
	// setAttr and attr are the extended attribute user.dhtfs; both return
	// errors.ErrUnsupported where the file system has none.
	setAttr(value []byte) error
	attr() ([]byte, error)
}

// editable is a file that is written anywhere.
type editable interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	size() (int64, error)
	syncData() error // makes what was written durable
}

// table is an ordered map that is changed by atomic, durable commits. Its
// methods may be called concurrently, apply only once at a time.
type table interface {
	get(key []byte) ([]byte, error) // a copy; nil when there is none
	// page returns up to n pairs in order, the first greater than after.
	page(after []byte, n int) ([]pair, error)
	// apply commits all writes or none. When it fails they are in doubt,
	// unless the error matches ErrNoSpace: then none was made.
	apply(writes []write) error
	close() error
}

type pair struct{ key, value []byte }

// write sets key to value; a nil value deletes the key.
type write pair

var (
	// errSync marks the failure of a sync: what was written before may be
	// gone, and trying again proves nothing.
	errSync = errors.New("sync failed")
	// errDamagedTable marks a table that cannot be read or whose entries do
	// not match their checksums.
	errDamagedTable = errors.New("register table is damaged")
)
