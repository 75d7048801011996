package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// briefly is a store with two of three copies.
func briefly(lacking ...api.Lacking) api.StoredBriefly {
	return api.StoredBriefly{Action: "stored", Size: 1, Copies: 2, Want: 3, Nodes: []string{"alder", "birch"}, Lacking: lacking}
}

// What is to be said of many files is said once; of which files is in the JSON lines.
func TestWarningsOfManyFiles(t *testing.T) {
	const copies = "2 of 3 copies so far; the rest is made as soon as nodes can"
	full := api.Lacking{Name: "cedar", ID: "no_space", Message: "9 bytes needed"}
	also := full
	also.Message = "10 bytes needed"
	for _, json := range []bool{false, true} {
		a, stdout, stderr := testApp(json)
		s := &storer{app: a, report: newReport(a, "stored", 4)}
		s.tell("a", briefly(), 0)
		s.tell("b", briefly(full), 0)
		s.tell("c", briefly(also), 0)
		s.tell("d", briefly(api.Lacking{Name: "cedar", ID: "degraded", Message: "EIO"}), 0)
		require.NoError(t, s.report.end(t.Context()))
		if json {
			assert.Equal(t, 4, strings.Count(stdout.String(), copies))
			assert.Contains(t, stdout.String(), `{"type":"warning","message":"c: cedar is full (10 bytes needed)"}`)
			continue
		}
		assert.Equal(t, "warning: 4 files: "+copies+"\n"+
			"warning: 2 files: cedar is full (9 bytes needed)\n"+
			"warning: d: the disk of cedar has failed (EIO)\n", stderr.String()[:strings.Index(stderr.String(), "4 files stored")])
	}
}

func TestWarningsOfOneFile(t *testing.T) {
	a, _, stderr := testApp(false)
	s := &storer{app: a, report: newReport(a, "stored", 1)}
	s.tell("a", briefly(), 0)
	assert.Equal(t, "warning: a: 2 of 3 copies so far; the rest is made as soon as nodes can\n", stderr.String())
}

func TestTryingAgainIsSaidOnce(t *testing.T) {
	a, _, stderr := testApp(false)
	r := newReport(a, "stored", 3)
	for _, name := range []string{"a", "b"} {
		r.again(name)(node.ErrUnavailable)
	}
	r.again("c")(node.ErrNotReady)
	assert.Equal(t, 1, strings.Count(stderr.String(), "a: "+node.ErrUnavailable.Error()+"; trying again\n"))
	assert.NotContains(t, stderr.String(), "b: ")
	assert.Contains(t, stderr.String(), "c: ")
}

func TestHintsAreGivenOnce(t *testing.T) {
	a, _, stderr := testApp(false)
	r := newReport(a, "stored", 3)
	for _, err := range []error{node.ErrNotFound, node.ErrNotFound, node.ErrUnavailable} {
		r.fail(t.Context(), "x", err)
	}
	assert.Equal(t, 3, strings.Count(stderr.String(), "error: "))
	assert.Equal(t, 2, strings.Count(stderr.String(), "hint: "))
}
