package filestore

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// recordOf returns the live record of data under name.
func recordOf(name string, data []byte) Record {
	d := NewDigest()
	_, _ = d.Write(data)
	return Record{
		Format: RecordFormat, Name: name, Size: d.Size(), SHA256: d.SHA256(), Root: d.Root(),
		Mode: 0o640, Modified: 1_700_000_000_123_456_789, Changes: 1,
	}
}

func ballot(n uint64) Ballot { return Ballot{Counter: n, Machine: MachineID{1}} }

// stage stages data and seals it.
func stage(s *Store, rec Record, data []byte) (*Stage, error) {
	st, err := s.Stage(rec.Name, rec.Size)
	if err != nil {
		return nil, err
	}
	if _, err := st.Write(data); err != nil {
		st.Discard()
		return nil, err
	}
	if err := st.Seal(rec); err != nil {
		st.Discard()
		return nil, err
	}
	return st, nil
}

// accept has the register take r at ballot b.
func accept(s *Store, b Ballot, r Record) error {
	_, err := s.Update(r.Name, func(Register) (Register, error) {
		return Register{Promised: b, Accepted: b, Record: &r}, nil
	})
	return err
}

// put stages and accepts data.
func put(s *Store, b Ballot, name string, data []byte) error {
	rec := recordOf(name, data)
	st, err := stage(s, rec, data)
	if err != nil {
		return err
	}
	defer st.Discard()
	return accept(s, b, rec)
}

// read returns the content of name that its register names.
func read(s *Store, name string) ([]byte, error) {
	r, err := s.Register(name)
	if err != nil {
		return nil, err
	}
	if r.Record == nil || r.Record.Deleted {
		return nil, ErrNotFound
	}
	c, err := s.Open(name, r.Record.SHA256)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	data := make([]byte, c.Size())
	if len(data) == 0 {
		return data, nil
	}
	_, err = c.ReadAt(data, 0)
	return data, err
}

func content(seed byte, n int) []byte {
	data := bytes.Repeat([]byte("0123456789abcde"), n/15+1)[:n]
	for i := 0; i < n; i += 997 {
		data[i] = seed + byte(i>>10)
	}
	return data
}

func TestPutRead(t *testing.T) {
	for name, disk := range map[string]Disk{"os": OSDisk(t.TempDir()), "mem": NewMemDisk()} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Options{Disk: disk, Positions: [][20]byte{{1}, {128}}})
			require.NoError(t, err)
			for i, n := range []int{0, 1, ChunkSize, ChunkSize + 1, 3*ChunkSize - 1} {
				name := string(rune('a' + i))
				data := content(byte(i), n)
				require.NoError(t, put(s, ballot(1), name, data))
				got, err := read(s, name)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, got))
			}
			require.NoError(t, s.Close())
			s, err = Open(Options{Disk: disk, Positions: [][20]byte{{1}, {128}}})
			require.NoError(t, err)
			require.False(t, s.Rebuilt())
			files, _, _ := s.Usage()
			require.Equal(t, 5, files)
			got, err := read(s, "e")
			require.NoError(t, err)
			require.True(t, bytes.Equal(content(4, 3*ChunkSize-1), got))
			require.NoError(t, s.Close())
		})
	}
}
