package watch

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dhtfs/dhtfs/filestore"
)

// The state file of a folder has a line for the folder and then one for each
// change of what is known of a path, the newest last:
//
//	CRC-32C of the rest of the line, 8 hex digits; a space; JSON
//
// A line that a crash has cut off, or that is damaged, is passed over: what it
// told is found out again by reading the file. When there are far more lines
// than paths the file is written anew and takes the old one's place by a rename.
// It is no more than a memory, so only a rename is synced.

// stateFormat is the version of the format. A state file of another one is not read.
const stateFormat = 1

// stateHead is the first line.
type stateHead struct {
	Format int    `json:"dhtfs_watch"`
	Dir    string `json:"dir"`
	Prefix string `json:"prefix"`
	Node   string `json:"node"`           // machine ID: a node has another on every ring
	Root   uint64 `json:"root,omitempty"` // inode of the folder
	Disk   uint64 `json:"disk,omitempty"` // file system that it is on, as far as that is known
}

// stateLine is what is known of one path.
type stateLine struct {
	Path     string          `json:"p"`
	Gone     bool            `json:"gone,omitempty"` // forget it
	Size     int64           `json:"size,omitempty"`
	Modified int64           `json:"mtime,omitempty"`
	Inode    uint64          `json:"inode,omitempty"`
	Changed  int64           `json:"ctime,omitempty"`
	Sum      *filestore.Hash `json:"sha256,omitempty"`
	Version  *filestore.OpID `json:"version,omitempty"`
	Ours     bool            `json:"ours,omitempty"`
	Attempt  *filestore.OpID `json:"attempt,omitempty"`
	Disk     uint64          `json:"disk,omitempty"`
}

// journal is the state file of a folder. Not safe for concurrent use.
type journal struct {
	path  string
	head  stateHead
	file  *os.File // nil: it has to be written anew first
	lines int
}

// openJournal reads the state file of a folder. What is not readable is as if
// it were not there; damaged counts the lines that were passed over.
func openJournal(path, self string, f *Folder) (j *journal, entries map[string]Entry, damaged int, err error) {
	j = &journal{path: path, head: stateHead{Format: stateFormat, Dir: f.Dir, Prefix: f.Prefix, Node: self}}
	entries = map[string]Entry{}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, entries, 0, nil
	}
	if err != nil {
		return j, entries, 0, fmt.Errorf("read the state of %s: %w", f.Dir, err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(raw))
	scanner.Buffer(nil, maxStateLine)
	var head stateHead
	if !scanner.Scan() || !decodeLine(scanner.Bytes(), &head) ||
		head.Format != stateFormat || head.Dir != f.Dir || head.Prefix != f.Prefix || head.Node != self {
		return j, entries, 1, nil
	}
	j.head.Root, j.head.Disk = head.Root, head.Disk
	for scanner.Scan() {
		var l stateLine
		if !decodeLine(scanner.Bytes(), &l) || l.Path == "" {
			damaged++
			continue
		}
		if l.Gone {
			delete(entries, l.Path)
		} else {
			entries[l.Path] = l.entry()
		}
	}
	if scanner.Err() != nil {
		damaged++
	}
	return j, entries, damaged, nil
}

// maxStateLine is more than a path and its hashes need.
const maxStateLine = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeLine(doc any) ([]byte, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(raw, castagnoli), raw), nil
}

func decodeLine(line []byte, doc any) bool {
	sum, raw, _ := bytes.Cut(line, []byte(" "))
	want, err := hex.DecodeString(string(sum))
	if err != nil || len(want) != 4 {
		return false
	}
	got := crc32.Checksum(raw, castagnoli)
	return bytes.Equal(want, []byte{byte(got >> 24), byte(got >> 16), byte(got >> 8), byte(got)}) && json.Unmarshal(raw, doc) == nil
}

func lineOf(e edit) stateLine {
	l := stateLine{Path: e.path}
	if e.entry == (Entry{}) {
		l.Gone = true
		return l
	}
	x := e.entry
	l.Size, l.Modified, l.Inode, l.Changed = x.Print.Size, x.Print.Modified, x.Print.Inode, x.Print.Changed
	l.Ours, l.Disk = x.Ours, x.Disk
	if x.Sum != (filestore.Hash{}) {
		l.Sum = &x.Sum
	}
	if x.Version != (filestore.OpID{}) {
		l.Version = &x.Version
	}
	if x.Attempt != (filestore.OpID{}) {
		l.Attempt = &x.Attempt
	}
	return l
}

func (l *stateLine) entry() Entry {
	e := Entry{Print: Print{Size: l.Size, Modified: l.Modified, Inode: l.Inode, Changed: l.Changed}, Ours: l.Ours, Disk: l.Disk}
	if l.Sum != nil {
		e.Sum = *l.Sum
	}
	if l.Version != nil {
		e.Version = *l.Version
	}
	if l.Attempt != nil {
		e.Attempt = *l.Attempt
	}
	return e
}

// append adds changes. When that fails the file is written anew the next time
// it is asked for.
func (j *journal) append(edits []edit) error {
	if j.file == nil || len(edits) == 0 {
		return nil
	}
	var b []byte
	for _, e := range edits {
		line, err := encodeLine(lineOf(e))
		if err != nil {
			return err
		}
		b = append(b, line...)
	}
	j.lines += len(edits)
	if _, err := j.file.Write(b); err != nil {
		j.close()
		return fmt.Errorf("write the state of %s: %w", j.head.Dir, err)
	}
	return nil
}

// wordy reports whether the file should be written anew: it is not open, or far
// longer than the paths it is about.
func (j *journal) wordy(paths int) bool { return j.file == nil || j.lines > 2*paths+1000 }

// rewrite replaces the file by one with these entries.
func (j *journal) rewrite(each func(yield func(edit) error) error) error {
	j.close()
	if err := j.replace(each); err != nil {
		return fmt.Errorf("write the state of %s: %w", j.head.Dir, err)
	}
	return nil
}

func (j *journal) replace(each func(yield func(edit) error) error) error {
	temp, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	discard := func(err error) error { return errors.Join(err, temp.Close(), os.Remove(temp.Name())) }
	w := bufio.NewWriter(temp)
	put := func(doc any) error {
		line, err := encodeLine(doc)
		if err == nil {
			_, err = w.Write(line)
		}
		return err
	}
	if err := put(j.head); err != nil {
		return discard(err)
	}
	j.lines = 0
	err = each(func(e edit) error { j.lines++; return put(lineOf(e)) })
	if err := errors.Join(err, w.Flush()); err != nil {
		return discard(err)
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), j.path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}
