package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Scripts read these documents: fields are only ever added.
func TestGoldenDocuments(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	count := 3
	documents := []any{
		daemonInfo{PID: 1, Socket: "/h/daemon.sock", HTTP: "127.0.0.1:24161", Listen: "[::]:24160", NodeID: "3f9c", Version: "v1", Started: when},
		storedLine{Type: "item", Name: "a", Action: "stored", Size: 9, Sent: 5, Copies: 2, Want: 3, Nodes: []string{"alder"}, SHA256: "ab", Lacking: []api.Lacking{{Name: "birch", Machine: "cd", ID: "no_space", Message: "m"}}},
		fetchedLine{Type: "item", Name: "a", Action: "fetched", Path: "d/a", Size: 9, SHA256: "ab", Verified: true, Confirmed: true, From: []string{"birch"}, Seconds: 0.5},
		removedLine{Type: "item", Name: "a", Action: "removed"},
		failedLine{Type: "item", Name: "a", Action: "failed", Error: &api.Error{Code: 4, ID: "not_found", Message: "m", Hint: "h"}},
		statusLine{Type: "status", Bytes: 1, Total: 2, Rate: 3, Seconds: 4},
		warningLine{Type: "warning", Message: "m"},
		summaryLine{Type: "summary", OK: true, Stored: &count, Skipped: 1, Failed: 0, Bytes: 9, Seconds: 1.5},
		summaryLine{Type: "summary", OK: true, Fetched: &count},
		exitError{Type: "exit_error", Code: 4, ID: "not_found", Message: "m", Hint: "h"},
		upDocument{Schema: "dhtfs.up/v1", Action: "created", Ring: "otter", Node: "alder", NodeID: "3f9c", Listen: "[::]:24160", HTTP: "", PID: 1, Members: 1},
		pathsDocument{Schema: "dhtfs.paths/v1"},
		versionDocument{Schema: "dhtfs.version/v1"},
		configDocument{Schema: "dhtfs.config/v1", Path: "p", Settings: map[string]any{"jobs": 4}},
		existsDocument{Schema: "dhtfs.exists/v1", Name: "a", Exists: true},
		verifiedLine{Type: "item", Name: "a", Action: "healed", Size: 9, From: []string{"birch"}, Error: "e"},
		verifySummary{Type: "summary", OK: false, Files: 3, Bytes: 27, Damaged: 1, Missing: 1, Healed: 1, Seconds: 1.5},
		doctorDocument{Schema: "dhtfs.doctor/v1", OK: false, Findings: []finding{
			ok("clock", "m"), ok("disk", "m").warn("f"), ok("port", "m").fail("f"),
		}},
		spaceOf(api.Nodes{Nodes: []api.Member{
			{Name: "a", ID: "1", Machine: "2", State: "alive", Files: 3, Used: 4, Capacity: 10, Free: 6},
			{Name: "b", ID: "1", Machine: "2", State: "degraded", Files: 3, Used: 4, Capacity: 10, Free: 6},
			{Name: "c", ID: "1", Machine: "2", State: "unreachable"},
		}}),
		doneDocument{Schema: "dhtfs.down/v1", OK: true},
		benchDocument{Schema: "dhtfs.bench/v1", Size: 1, Files: 2, Results: []benchLine{{Work: "lookup", Count: 3, Bytes: 4, Seconds: 5, P50: 6, P99: 7}}},
		watchList{Schema: "dhtfs.watch.ls/v1", Folders: []api.WatchFolder{{Dir: "/d", Prefix: "p/", OnDelete: "keep", Exclude: []string{"*.tmp"}}}},
	}
	var got bytes.Buffer
	for _, d := range documents {
		require.NoError(t, json.NewEncoder(&got).Encode(d))
	}
	path := filepath.Join("testdata", "documents.jsonl")
	if *update {
		require.NoError(t, os.WriteFile(path, got.Bytes(), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String())
}

// The document of `ls` is whole JSON, with its summary, also when the listing
// breaks off.
func TestListDocument(t *testing.T) {
	for name, failure := range map[string]error{"whole": nil, "broken off": api.ErrDaemonGone} {
		t.Run(name, func(t *testing.T) {
			a, stdout, _ := testApp(true)
			_, err := streamList(a, func(yield func(api.File) error) (api.ListSummary, error) {
				require.NoError(t, yield(api.File{Name: "a\n"}))
				require.NoError(t, yield(api.File{Name: "b"}))
				return api.ListSummary{Complete: true, Nodes: api.NodesAsked{Asked: 3, Answered: 3}}, failure
			})
			require.ErrorIs(t, err, failure)
			var doc struct {
				Schema   string
				Complete bool
				Nodes    api.NodesAsked
				Files    []api.File
			}
			require.NoError(t, json.Unmarshal(stdout.Bytes(), &doc))
			assert.Equal(t, "dhtfs.ls/v1", doc.Schema)
			assert.Equal(t, failure == nil, doc.Complete)
			require.Len(t, doc.Files, 2)
			assert.Equal(t, "a\n", doc.Files[0].Name)
		})
	}
}

func TestDrawings(t *testing.T) {
	ring := api.Ring{Ring: `o"t<t>er`, Positions: []api.Position{
		{Peer: api.Peer{Name: "alder\x1b", ID: "00" + "11223344"}, Successors: []api.Peer{{ID: "8011223344", Name: "birch"}}},
		{Peer: api.Peer{Name: "birch", ID: "8011223344"}, Successors: []api.Peer{{ID: "0011223344", Name: "alder"}}},
	}}
	text := textOf(ring)
	assert.Contains(t, text, `● alder\x1b 0011`)
	assert.Contains(t, text, "birch 8011 ●")
	assert.Contains(t, dotOf(ring), `"0011223344" -> "8011223344"`)
	assert.Contains(t, svgOf(ring), "o&quot;t&lt;t&gt;er")
	assert.NotContains(t, text+dotOf(ring)+svgOf(ring), "\x1b")
	rows := ringRows(ring)
	assert.Equal(t, "50.0 %", rows[0][3])
	assert.Equal(t, "100.0 %", ringRows(api.Ring{Positions: ring.Positions[:1]})[0][3])

	tree := func(names ...string) string {
		a, stdout, _ := testApp(false)
		_, err := printTree(a, func(yield func(api.File) error) (api.ListSummary, error) {
			for _, n := range names {
				require.NoError(t, yield(api.File{Name: n, Size: 1}))
			}
			return api.ListSummary{Complete: true}, nil
		})
		require.NoError(t, err)
		return stdout.String()
	}
	assert.Equal(t, "├── a/  1 B\n│   └── b  1 B\n└── c/\n    └── d  1 B\n", tree("a", "a/b", "c/d"))
}
