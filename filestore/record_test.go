package filestore

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBallotOrder(t *testing.T) {
	ordered := []Ballot{
		{}, {Machine: MachineID{1}}, {Counter: 1}, {Counter: 1, Machine: MachineID{0, 1}},
		{Counter: 1, Machine: MachineID{1}}, {Counter: 256}, {Counter: 1 << 63},
	}
	for i, a := range ordered {
		assert.Equal(t, i == 0, a.IsZero())
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			assert.Equal(t, want, a.Compare(b), "%v and %v", a, b)
		}
	}
}

func TestVoters(t *testing.T) {
	a, b, c := MachineID{1}, MachineID{2}, MachineID{3}
	plain, joint := Voters{New: []MachineID{b, a}}, Voters{Old: []MachineID{b, c}, New: []MachineID{b, a}}
	assert.False(t, plain.Joint())
	assert.True(t, joint.Joint())
	assert.True(t, plain.Equal(Voters{Old: []MachineID{}, New: []MachineID{b, a}}))
	assert.False(t, plain.Equal(joint))
	assert.False(t, joint.Equal(Voters{Old: []MachineID{b}, New: []MachineID{b, a}}))
	assert.True(t, joint.Contains(c))
	assert.False(t, plain.Contains(c))
	assert.Equal(t, []MachineID{a, b, c}, joint.All())
	assert.Equal(t, []MachineID{b, a}, plain.New, "All must not sort in place")
	clone := joint.Clone()
	clone.Old[0] = a
	assert.Equal(t, b, joint.Old[0])
}

func TestRecordCloneIsDeep(t *testing.T) {
	r := &Record{Signature: []byte{1}, History: []Change{{Result: ResultStored}}, Voters: Voters{New: []MachineID{{1}}}}
	c := r.Clone()
	require.Equal(t, r, c)
	c.Signature[0], c.History[0].Result, c.Voters.New[0] = 9, ResultExists, MachineID{9}
	assert.Equal(t, &Record{Signature: []byte{1}, History: []Change{{Result: ResultStored}}, Voters: Voters{New: []MachineID{{1}}}}, r)
	assert.Nil(t, (*Record)(nil).Clone())
}

// TestRecordBytes fixes the encoding: it is on disks and on the wire.
func TestRecordBytes(t *testing.T) {
	r := Record{
		Format: 1, Name: "a", Op: OpID{0xaa}, Size: 2, SHA256: Hash{0xbb}, Root: Hash{0xcc}, Mode: 0o644,
		Modified: 3, Stored: 4, Publisher: MachineID{0xdd}, Signature: []byte{5},
		Voters: Voters{New: []MachineID{{0xee}}}, Changes: 6, History: []Change{{OpID{0xaa}, ResultStored}}, Forced: true,
	}
	z := func(first string, n int) string { return first + hex.EncodeToString(make([]byte, n-1)) }
	want := "af" + "0101" + "026161" + "0350" + z("aa", 16) + "0602" + "075820" + z("bb", 32) + "085820" + z("cc", 32) +
		"091901a4" + "0a03" + "0b04" + "0c5820" + z("dd", 32) + "0d4105" + "0ea10281" + "5820" + z("ee", 32) +
		"0f06" + "1081a20150" + z("aa", 16) + "0201" + "11f5"
	got, err := cbor.Marshal(&r)
	require.NoError(t, err)
	assert.Equal(t, want, hex.EncodeToString(got))
	var back Record
	require.NoError(t, cbor.Unmarshal(got, &back))
	assert.Equal(t, r, back)
}

func TestEntryChecksum(t *testing.T) {
	e := &entry{Promised: ballot(3), Accepted: ballot(2), Record: &Record{Name: "a"}, Held: true, File: "x"}
	key := registerKey("a")
	value, err := e.encode(key)
	require.NoError(t, err)
	got, err := decodeEntry(key, value)
	require.NoError(t, err)
	assert.Equal(t, e, got)
	for i := range value {
		value[i] ^= 0x10
		_, err := decodeEntry(key, value)
		assert.ErrorIs(t, err, errDamagedTable)
		value[i] ^= 0x10
	}
	_, err = decodeEntry(registerKey("b"), value)
	assert.ErrorIs(t, err, errDamagedTable, "a value under another key")
	_, err = decodeEntry(key, nil)
	assert.ErrorIs(t, err, errDamagedTable)
}

func TestHexText(t *testing.T) {
	in := struct {
		H Hash
		O OpID
	}{Hash{1, 0xab}, OpID{2, 0xcd}}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"01ab00`)
	out := in
	out.H, out.O = Hash{}, OpID{}
	require.NoError(t, json.Unmarshal(text, &out))
	assert.Equal(t, in, out)
	for _, bad := range []string{"", "0", hex.EncodeToString(make([]byte, 31)), string(make([]byte, 64))} {
		assert.Error(t, out.H.UnmarshalText([]byte(bad)))
		assert.Equal(t, in.H, out.H)
	}
}
