package filestore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A generation is one run of a journal's file, from its beginning:
//
//	block 0, block 1   the head, twice: "dhtfs-j1", the generation's number, 8 bytes,
//	                   16 random bytes, the salt, and CRC-32C of all that
//	from block 2       records, each from the beginning of a block
//
// A record:
//
//	4 bytes      length of the writes
//	writes       of each: length of the key, the key, 0 for a delete or 1 + length of
//	             the value, the value; lengths as unsigned varints
//	zeros        to the last 4 bytes of the block
//	4 bytes      CRC-32C of the salt, the record's offset, 8 bytes, and what is before
//
// Blocks are 4096 bytes and numbers big endian, but for varints. A record is written
// when those before are durable, into blocks that hold none of them. So what a crash
// leaves torn is the last record at most, and one that is not whole while one behind it
// is has been damaged. The checksum comes last, so that a record of which only the
// beginning was written is not taken for whole. What a former generation has left in the
// file fails the checksum, and so does what was stored to look like a record, as the
// salt is secret. What is torn is overwritten before a next commit: once not there, it
// must not come back.

const (
	journalBlock = 4096
	journalStart = 2 * journalBlock // of the records
	recordHead   = 4
	recordTail   = 4
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

	read    []byte // what was read of the file at the start, for as long as that lasts; nil: read it there
	carried int64  // bytes of its records that were of the generation before
	torn    bool   // there may be a part of a record at the end
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

// readGeneration returns the generation whose head a file has, without its records, and
// what is in the file; nil: there is none. It is read at once, since a disk may be slow
// and no journal is large.
func readGeneration(f editable) (*generation, []byte, error) {
	size, err := f.size()
	if err != nil || size == 0 {
		return nil, nil, err
	}
	file := make([]byte, size)
	if n, err := f.ReadAt(file, 0); n < len(file) {
		return nil, nil, unreadable(err)
	}
	var last *generation
	for _, at := range []int{0, journalBlock} {
		if at+headSize > len(file) {
			continue
		}
		body, sum := file[at:at+headSize-4], file[at+headSize-4:]
		if !bytes.HasPrefix(body, []byte(headMagic)) || binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
			continue
		}
		body = body[len(headMagic):]
		g := &generation{number: binary.BigEndian.Uint64(body), file: f, salt: [16]byte(body[8:]), end: journalStart}
		if last == nil || g.number > last.number {
			last = g
		}
	}
	return last, file, nil
}

// unreadable is what an error of reading a journal says about it.
func unreadable(err error) error {
	if isPassing(err) {
		return err
	}
	return fmt.Errorf("%w: journal: %w", errDamagedTable, err)
}

// sum returns the checksum of a record, whose tail is not in it.
func (g *generation) sum(at int64, record []byte) uint32 {
	var place [24]byte
	copy(place[:], g.salt[:])
	binary.BigEndian.PutUint64(place[16:], uint64(at))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, record[:len(record)-recordTail])
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
	return g.close(buf), all
}

// close makes a record of a head and writes.
func (g *generation) close(buf []byte) []byte {
	length := len(buf) - recordHead
	buf = append(buf, make([]byte, int(recordSize(int64(length)))-len(buf))...)
	binary.BigEndian.PutUint32(buf, uint32(length))
	binary.BigEndian.PutUint32(buf[len(buf)-recordTail:], g.sum(g.end, buf))
	return buf
}

// recordSize returns how many bytes a record takes, for the length of its writes.
func recordSize(length int64) int64 {
	return (recordHead + length + recordTail + journalBlock - 1) / journalBlock * journalBlock
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

// replay takes the records out of the file. errDamagedTable: one of them is damaged.
func (g *generation) replay(file []byte) error {
	for {
		record := g.recordAt(file, g.end)
		if record == nil {
			g.torn = g.end+recordHead <= int64(len(file)) && binary.BigEndian.Uint32(file[g.end:]) != 0
			return g.nothingAfter(file)
		}
		if err := g.redo(record); err != nil {
			return err
		}
		g.end += int64(len(record))
	}
}

// clear overwrites the beginning of a torn record at the end, durably.
func (g *generation) clear() error {
	if !g.torn {
		return nil
	}
	return g.save(make([]byte, journalBlock))
}

// recordAt returns the record at an offset of the file; nil: there is no whole one.
func (g *generation) recordAt(file []byte, at int64) []byte {
	size := int64(len(file))
	if at+journalBlock > size {
		return nil
	}
	length := int64(binary.BigEndian.Uint32(file[at:]))
	if length == 0 || at+recordSize(length) > size {
		return nil
	}
	record := file[at : at+recordSize(length)]
	if binary.BigEndian.Uint32(record[len(record)-recordTail:]) != g.sum(at, record) {
		return nil
	}
	return record
}

// nothingAfter makes sure that there is no record behind the last whole one. Large ones
// are not looked for: what looks like their beginning, in content, would take too long.
func (g *generation) nothingAfter(file []byte) error {
	for at := g.end + journalBlock; at < int64(len(file)); at += journalBlock {
		if g.recordAt(file[:min(int64(len(file)), at+keepRecord)], at) != nil {
			return fmt.Errorf("%w: generation %d of the journal at %d, before a record at %d", errDamagedTable, g.number, g.end, at)
		}
	}
	return nil
}

// redo remembers what the record at the end changes.
func (g *generation) redo(record []byte) error {
	end := recordHead + int(binary.BigEndian.Uint32(record))
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
