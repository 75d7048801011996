package register_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// The bytes of the messages are kept in testdata, so that no change to them
// goes unseen. DHTFS_UPDATE_GOLDEN=1 writes them anew.
func TestMessagesOnTheWire(t *testing.T) {
	moving := joint(ids(0, 1), ids(1, 2))
	rec := filestore.Record{
		Format: filestore.RecordFormat, Name: registerName, Op: filestore.OpID{1}, Size: 5,
		SHA256: filestore.Hash{2}, Root: filestore.Hash{3}, Mode: 0o600, Modified: 4, Stored: 5,
		Publisher: id(0), Signature: []byte{6}, Voters: moving, Changes: 7,
		History: []filestore.Change{{Op: filestore.OpID{1}, Result: filestore.ResultStored}},
	}
	v := register.View{Voters: moving, Basis: ballot(2)}
	for _, test := range []struct {
		name    string
		message any
	}{
		{"prepare", &register.Prepare{Name: registerName, Ballot: ballot(3), View: v, Joining: ids(2)}},
		{"prepare-new", &register.Prepare{Name: registerName, Ballot: ballot(1), View: view(voters(0), 0)}},
		{"accept", &register.Accept{Ballot: ballot(3), View: v, Record: rec}},
		{"answer", &register.Answer{Status: register.OtherList, Promised: ballot(4), Accepted: ballot(3), Record: &rec, Held: true}},
		{"answer-none", &register.Answer{Status: register.DontKnow, Promised: ballot(1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw, err := cbor.Marshal(test.message)
			require.NoError(t, err)
			golden := filepath.Join("testdata", test.name+".hex")
			if os.Getenv("DHTFS_UPDATE_GOLDEN") != "" {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(hex.EncodeToString(raw)+"\n"), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, strings.TrimSpace(string(want)), hex.EncodeToString(raw))

			back := reflect.New(reflect.TypeOf(test.message).Elem()).Interface()
			require.NoError(t, cbor.Unmarshal(raw, back))
			assert.Equal(t, test.message, back)
		})
	}
}

// The statuses are on the wire by their numbers.
func TestStatusNumbers(t *testing.T) {
	for i, s := range []register.Status{register.OK, register.Outbid, register.OtherList, register.DontKnow, register.NoContent} {
		assert.Equal(t, register.Status(i), s)
	}
}

func TestViewJoins(t *testing.T) {
	for n, want := range []bool{false, false, false, true, true, false} {
		assert.Equal(t, want, register.View{Voters: moving}.Joins(id(n)), "machine %d", n)
		assert.False(t, view(voters(2, 3, 4), 0).Joins(id(n)), "nobody joins a settled list")
	}
}
