package filestore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A generation is one run of a journal's file, from its beginning:
//
//	block 0, block 1   the head, twice: "dhtfs-j1", the generation's number, 8 bytes,
//	                   16 random bytes, the salt, and CRC-32C of all that
//	from block 2       records, each from the beginning of a block
//
// A record:
//
//	4 bytes      CRC-32C of the salt, the record's offset, 8 bytes, and what follows
//	4 bytes      length of the writes
//	writes       of each: length of the key, the key, 0 for a delete or 1 + length of
//	             the value, the value; lengths as unsigned varints
//	zeros        to the end of the block
//
// Blocks are 4096 bytes and numbers big endian, but for varints. A record is written
// when those before are durable, into blocks that hold none of them. So what a crash
// leaves torn is the last record at most, and one that is not whole while one behind it
// is has been damaged. What a former generation has left in the file fails the
// checksum, and so does what was stored to look like a record, as the salt is secret.

const (
	journalBlock = 4096
	journalStart = 2 * journalBlock // of the records
	recordHead   = 8
	headMagic    = "dhtfs-j1"
	headSize     = len(headMagic) + 8 + 16 + 4
)

// generation is a generation and what is known of its records.
type generation struct {
	number uint64
	file   editable
	salt   [16]byte
	end    int64 // of the last record
	changes
}

// beginGeneration begins an empty generation, durably, over whatever the file holds.
func beginGeneration(number uint64, f editable) (*generation, error) {
	g := &generation{number: number, file: f, end: journalStart}
	_, _ = rand.Read(g.salt[:]) // never fails
	head := binary.BigEndian.AppendUint64([]byte(headMagic), number)
	head = append(head, g.salt[:]...)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	block := append(head, make([]byte, journalBlock-len(head))...)
	if _, err := f.WriteAt(append(block, block...), 0); err != nil {
		return nil, noSpace(err)
	}
	return g, f.syncData()
}

// readHead returns the generation whose head a file has, without its records; nil:
// there is none.
func readHead(f editable) (*generation, error) {
	var last *generation
	for _, at := range []int64{0, journalBlock} {
		head := make([]byte, headSize)
		if _, err := f.ReadAt(head, at); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return nil, err
		}
		body, sum := head[:headSize-4], head[headSize-4:]
		if !bytes.HasPrefix(body, []byte(headMagic)) || binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
			continue
		}
		body = body[len(headMagic):]
		g := &generation{number: binary.BigEndian.Uint64(body), file: f, salt: [16]byte(body[8:]), end: journalStart}
		if last == nil || g.number > last.number {
			last = g
		}
	}
	return last, nil
}

// sum returns the checksum of a record, whose first 4 bytes are not in it.
func (g *generation) sum(at int64, record []byte) uint32 {
	var place [24]byte
	copy(place[:], g.salt[:])
	binary.BigEndian.PutUint64(place[16:], uint64(at))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, record[4:])
}

// encode appends the record of writes to buf, which is empty, and returns what it
// changes.
func (g *generation) encode(buf []byte, writes []write) ([]byte, []*change) {
	all := make([]*change, len(writes))
	buf = append(buf, make([]byte, recordHead)...)
	for i, w := range writes {
		c := &change{key: w.key, value: w.value}
		buf = append(binary.AppendUvarint(buf, uint64(len(w.key))), w.key...)
		if w.value == nil {
			buf = append(buf, 0)
		} else {
			buf = binary.AppendUvarint(buf, 1+uint64(len(w.value)))
			c.place(g.end + int64(len(buf)))
			buf = append(buf, w.value...)
		}
		all[i] = c
	}
	binary.BigEndian.PutUint32(buf[4:], uint32(len(buf)-recordHead))
	if rest := len(buf) % journalBlock; rest > 0 {
		buf = append(buf, make([]byte, journalBlock-rest)...)
	}
	binary.BigEndian.PutUint32(buf, g.sum(g.end, buf))
	return buf, all
}

// place leaves a value that is content in the file, where it is at an offset.
func (c *change) place(at int64) {
	if c.key[0] == prefixContent {
		c.content, c.value = extent{at, len(c.value)}, nil
	}
}

// save makes a record durable at the end. When that fails it may be there or not,
// unless the error matches ErrNoSpace: then it is not.
func (g *generation) save(record []byte) error {
	if _, err := g.file.WriteAt(record, g.end); err != nil {
		return noSpace(err)
	}
	return g.file.syncData()
}

// replay reads the records. errDamagedTable: one of them is damaged.
func (g *generation) replay() error {
	size, err := g.file.size()
	if err != nil {
		return err
	}
	for {
		record, err := g.read(g.end, size)
		if err != nil {
			return err
		}
		if record == nil {
			return g.nothingAfter(size)
		}
		if err := g.redo(record); err != nil {
			return err
		}
		g.end += int64(len(record))
	}
}

// read returns the record at an offset of a file of some size; nil: there is no whole
// one.
func (g *generation) read(at, size int64) ([]byte, error) {
	if at+journalBlock > size {
		return nil, nil
	}
	var head [recordHead]byte
	if _, err := g.file.ReadAt(head[:], at); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[4:]))
	blocks := (recordHead + length + journalBlock - 1) / journalBlock
	if length == 0 || at+blocks*journalBlock > size {
		return nil, nil
	}
	record := make([]byte, blocks*journalBlock)
	if n, err := g.file.ReadAt(record, at); n < len(record) {
		return nil, err
	}
	if binary.BigEndian.Uint32(record) != g.sum(at, record) {
		return nil, nil
	}
	return record, nil
}

// redo remembers what the record at the end changes.
func (g *generation) redo(record []byte) error {
	end := recordHead + int(binary.BigEndian.Uint32(record[4:]))
	r := recordReader{rest: record[recordHead:end]}
	for len(r.rest) > 0 {
		c := &change{key: bytes.Clone(r.take(r.number()))}
		if n := r.number(); n > 0 && len(c.key) > 0 {
			value := r.take(n - 1)
			c.value = append([]byte{}, value...)
			c.place(g.end + int64(end-len(r.rest)-len(value)))
		}
		if r.bad || len(c.key) == 0 {
			return fmt.Errorf("%w: a record of generation %d of the journal, at %d", errDamagedTable, g.number, g.end)
		}
		g.put(c)
	}
	return nil
}

// recordReader takes the writes of a record apart. Once bad, it has nothing left.
type recordReader struct {
	rest []byte
	bad  bool
}

func (r *recordReader) number() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *recordReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// nothingAfter makes sure that there is no record behind the last whole one.
func (g *generation) nothingAfter(size int64) error {
	for at := g.end + journalBlock; at < size; at += journalBlock {
		record, err := g.read(at, size)
		if err != nil {
			return err
		}
		if record != nil {
			return fmt.Errorf("%w: generation %d of the journal at %d, before a record at %d", errDamagedTable, g.number, g.end, at)
		}
	}
	return nil
}
