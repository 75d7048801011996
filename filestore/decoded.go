package filestore

import (
	"bytes"
	"sync"
)

// maxDecoded bounds the entries that are remembered.
const maxDecoded = 512

// decoded remembers the entries that were decoded last: one register is read
// several times for a change, and again by whoever asks for the name. The table
// stays the truth: what is remembered counts only for the very bytes that the
// table has. It may be used concurrently.
type decoded struct {
	mu      sync.Mutex
	entries map[string]decodedEntry // by table key
}

type decodedEntry struct {
	value []byte
	entry entry
}

// decode is decodeEntry. The entry is the caller's, its record is shared.
func (d *decoded) decode(key, value []byte) (*entry, error) {
	d.mu.Lock()
	known, ok := d.entries[string(key)]
	d.mu.Unlock()
	if ok && bytes.Equal(known.value, value) {
		return &known.entry, nil
	}
	e, err := decodeEntry(key, value)
	if err != nil {
		return nil, err
	}
	d.remember(key, value, e)
	return e, nil
}

// remember notes an entry and what it is encoded as.
func (d *decoded) remember(key, value []byte, e *entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries == nil || len(d.entries) >= maxDecoded {
		d.entries = map[string]decodedEntry{}
	}
	d.entries[string(key)] = decodedEntry{value, *e}
}
