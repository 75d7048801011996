package filestore

import (
	"bytes"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/hostile"
)

// decoders are all that reads what is on a disk, which others may have written to,
// and the names that others give.
func decoders(tb testing.TB) []hostile.Decoder {
	return []hostile.Decoder{fileNames(), names(), entries(tb), tableKeys(), attributes(tb), hashLists(), journals()}
}

// fileNames reads the names of files in a node's directory.
func fileNames() hostile.Decoder {
	d := hostile.Decoder{Name: "file names", Memory: 64 << 10}
	for _, s := range []string{"a", "%2E", "a%2Fb", "%25", "x~0000000000000000000000000000000000000000", "%7E", "%4"} {
		d.Examples = append(d.Examples, []byte(s))
	}
	d.Read = func(t testing.TB, data []byte) {
		file := string(data)
		if name, ok := Unescape(file); ok && Escape(name) != file {
			t.Errorf("%q is not the escape of %q", file, name)
		}
	}
	return d
}

// names makes file names of what people and peers call files.
func names() hostile.Decoder {
	d := hostile.Decoder{Name: "names", Memory: 64 << 10}
	for _, s := range []string{
		"report.pdf", "a/b/c", "../../etc/passwd", "CON", "com1.txt", ".dhtfs-tmp", "nul\x00", "\x1b[31m", "e\u0301", "é", "x ", "x.", `a\b%`,
	} {
		d.Examples = append(d.Examples, []byte(s))
	}
	d.Read = func(t testing.TB, data []byte) {
		name := string(data)
		if ValidateName(name) != nil {
			return
		}
		file := Escape(name)
		if len(file) > maxFileName || file == "" || file != path.Base(file) || file[0] == '.' || bytes.ContainsAny([]byte(file), "/\\\x00\n\x1b") {
			t.Errorf("%q becomes the file %q", name, file)
		}
		if back, ok := Unescape(file); ok && back != name {
			t.Errorf("%q came back as %q", name, back)
		}
	}
	return d
}

func exampleEntry() *entry {
	e := hostile.Fill(new(entry))
	e.Record.Name = "a/b"
	return e
}

// entries reads registers from the table. The checksum that keeps accidents out is
// made anew, since it does not keep out malice.
func entries(tb testing.TB) hostile.Decoder {
	key := registerKey("a/b")
	body, err := exampleEntry().encode(key)
	require.NoError(tb, err)
	return hostile.Decoder{
		Name: "table entries", Examples: [][]byte{body[:len(body)-4]},
		Read: func(t testing.TB, data []byte) {
			if _, err := decodeEntry(key, data); err == nil && len(data) < 4 {
				t.Error("an entry without a checksum")
			}
			sum := checksum(key, data)
			e, err := decodeEntry(key, append(bytes.Clone(data), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)))
			if err != nil {
				return
			}
			if _, err := e.encode(key); err != nil {
				t.Errorf("an entry can be read and not written: %v", err)
			}
		},
	}
}

// tableKeys reads the keys of the table.
func tableKeys() hostile.Decoder {
	return hostile.Decoder{
		Name: "table keys", Examples: [][]byte{registerKey("a/b"), metaKey("x"), {}},
		Read: func(t testing.TB, data []byte) {
			if c, ok := splitRegisterKey(data); ok && !bytes.Equal(cursorKey(c), data) {
				t.Errorf("%x is not the key of %v", data, c)
			}
		},
	}
}

// attributes rebuilds a table from a file's extended attribute.
func attributes(tb testing.TB) hostile.Decoder {
	e := exampleEntry()
	e.Record.Size, e.Record.Deleted = 4, false
	value, err := e.encode(nil)
	require.NoError(tb, err)
	return hostile.Decoder{
		Name: "extended attributes", Examples: [][]byte{value[:len(value)-4]}, Memory: 1 << 20,
		Read: func(t testing.TB, data []byte) {
			sum := checksum(nil, data)
			value := append(bytes.Clone(data), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
			disk := NewMemDisk()
			const dir = "position"
			require.NoError(t, disk.mkdir(dir))
			f, err := disk.create(path.Join(dir, "a%2Fb"))
			require.NoError(t, err)
			_, err = f.Write([]byte("text"))
			require.NoError(t, err)
			require.NoError(t, f.setAttr(value))
			require.NoError(t, f.Close())
			files, err := disk.list(dir)
			require.NoError(t, err)
			s := &Store{disk: disk}
			for _, file := range files {
				if got, err := s.entryOf(dir, file); err == nil && (got.Record.Name != "a/b" || got.Record.Size != 4) {
					t.Errorf("an attribute of another file was taken: %+v", got.Record)
				}
			}
		},
	}
}

// hashLists reads the chunk hashes that are kept beside a content.
func hashLists() hostile.Decoder {
	const size = 3 * ChunkSize
	hashes := []Hash{{1}, {2}, {3}}
	root := RootOf(size, hashes)
	example := bytes.Join([][]byte{hashes[0][:], hashes[1][:], hashes[2][:]}, nil)
	return hostile.Decoder{
		Name: "hash lists", Examples: [][]byte{example}, Memory: 64 << 10,
		Read: func(t testing.TB, data []byte) {
			disk := NewMemDisk()
			require.NoError(t, disk.mkdir(path.Dir(listsDir)))
			require.NoError(t, disk.mkdir(listsDir))
			f, err := disk.create(listPath(root))
			require.NoError(t, err)
			_, err = f.Write(data)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			s := &Store{disk: disk}
			if _, err := s.readList(root, size); err == nil && !bytes.HasPrefix(data, example) {
				t.Error("a list with another root was taken")
			}
		},
	}
}

// journals replays a journal that has one record: the checksum over it is made anew.
func journals() hostile.Decoder {
	g := &generation{number: 1, end: journalStart}
	record, _ := g.encode(nil, []write{{registerKey("a"), []byte("value")}, {key: metaKey("b")}, {contentKey("c"), []byte("content")}})
	return hostile.Decoder{
		Name: "journals", Examples: [][]byte{record[recordHead : recordHead+100]},
		Read: func(t testing.TB, data []byte) {
			disk := NewMemDisk()
			f, err := disk.edit("journal")
			require.NoError(t, err)
			g, err := beginGeneration(1, f)
			require.NoError(t, err)
			if len(data) == 0 {
				return
			}
			record := g.close(append(make([]byte, recordHead), data...))
			require.NoError(t, g.save(record))
			g, file, err := readGeneration(f)
			require.NoError(t, err)
			if g.replay(file) != nil {
				return
			}
			if g.end != journalStart+int64(len(record)) {
				t.Error("a whole record was left out")
			}
			for _, c := range g.changes {
				if c.content.at+int64(c.content.size) > journalStart+recordHead+int64(len(data)) {
					t.Errorf("content of %x outside of its record", c.key)
				}
			}
		},
	}
}

func FuzzUnescape(f *testing.F)   { decoders(f)[0].Fuzz(f) }
func FuzzNames(f *testing.F)      { decoders(f)[1].Fuzz(f) }
func FuzzEntries(f *testing.F)    { decoders(f)[2].Fuzz(f) }
func FuzzTableKeys(f *testing.F)  { decoders(f)[3].Fuzz(f) }
func FuzzAttributes(f *testing.F) { decoders(f)[4].Fuzz(f) }
func FuzzHashLists(f *testing.F)  { decoders(f)[5].Fuzz(f) }
func FuzzJournals(f *testing.F)   { decoders(f)[6].Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, decoders(t)...) }
