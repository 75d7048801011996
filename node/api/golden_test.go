package api

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/watch"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testLabel(m node.MachineID) string { return map[byte]string{1: "alder", 2: "birch"}[m[0]] }

// documents has one of each document that the API answers with.
func documents() map[string]any {
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	record := filestore.Record{
		Format: 1, Name: "docs/report.pdf", Op: filestore.OpID{1, 2}, Size: 1234, SHA256: filestore.Hash{3}, Root: filestore.Hash{4},
		Mode: 0o640, Modified: when.UnixNano(), Stored: when.Add(time.Minute).UnixNano(), Publisher: node.MachineID{1}, Changes: 7,
	}
	peer := func(n byte) chord.Peer {
		return chord.Peer{ID: chord.ID{n}, Machine: node.MachineID{n}, Addr: "10.0.0.1:24160"}
	}
	predecessor := peer(2)
	position := chord.Position{
		Self: peer(1), Predecessor: &predecessor, Successors: []chord.Peer{peer(2)},
		Fingers: []chord.Finger{{Start: chord.ID{9}, Peer: peer(2)}},
	}
	holders := []node.Holder{
		{Label: "alder", Machine: node.MachineID{1}, ID: chord.ID{1}, Addr: "10.0.0.1:24160", State: node.Durable, Voter: true},
		{Label: "birch", Machine: node.MachineID{2}, ID: chord.ID{2}, Addr: "10.0.0.2:24160", State: node.Unreachable},
	}
	group := []node.Holder{{Label: "alder", Machine: node.MachineID{1}, ID: chord.ID{1}, Addr: "10.0.0.1:24160"}} // nobody was asked
	file := node.File{Record: record, Key: chord.KeyOf(record.Name), Role: node.Owner, Copies: 2, Want: 3, Confirmed: true, Holders: holders}
	stored := node.StoreResult{Record: record, Action: node.Replaced, Sent: 1000, Copies: 2, Want: 3, Nodes: holders,
		Lacking: []node.Lacking{{Label: "cedar", Machine: node.MachineID{3}, Err: &filestore.SpaceError{Needed: 9, Free: 1}}}}
	conflicting := record
	conflicting.Forced, conflicting.Origin = true, &filestore.Origin{Name: "the original", Op: filestore.OpID{1}}
	lookup := chord.Lookup{Key: file.Key, Owner: peer(1), Hops: []chord.Hop{
		{Peer: peer(2), RTT: 1500 * time.Microsecond}, {Peer: peer(1), RTT: time.Second, Err: errors.New("refused")},
	}}
	invite := node.Invite{ID: "ab12", Created: when, Expires: when.Add(time.Hour), Uses: 1}
	failure := Describe(&node.OpError{Op: "store", Name: record.Name, Err: &node.ExistsError{Record: record}})
	existing := recordOf(record, testLabel)
	failure.Existing = &existing
	summary := summaryOf(node.ListSummary{Asked: 3, Answered: 2})
	doc := fileOf(file, testLabel)
	return map[string]any{
		"status": statusOf(node.Status{
			Ring: "otter", RingID: [32]byte{5}, N: 3, W: 2, R: 2, Label: "alder", Machine: node.MachineID{1},
			Positions: []chord.Position{position}, Listen: "10.0.0.1:24160", Version: "v1", Started: when, Ready: true,
			Members: 3, Alive: 2, Files: 41, Bytes: 2 << 30, Capacity: 200 << 30, CopiesMissing: 1, Degraded: "disk", Warnings: []string{"w"},
		}, testLabel),
		"nodes": nodesOf([]node.Member{{
			Label: "alder", Machine: node.MachineID{1}, ID: chord.ID{1}, Addr: "10.0.0.1:24160", State: node.Alive,
			RTT: 1500 * time.Microsecond, Used: 1, Capacity: 2, Files: 3, Version: "v1", Self: true,
			Free: 4, Degraded: "disk", Clock: -2 * time.Second,
			Issuer: true, Expires: when,
		}}),
		"ring": Ring{
			Schema: "dhtfs.ring/v1", Ring: "otter", Complete: true, Nodes: NodesAsked{1, 1},
			Positions: []Position{positionOf(position, testLabel)},
		},
		"stat": Stat{Schema: "dhtfs.stat/v1", File: doc, Holders: holdersOf(holders)},
		"stat-conflict": Stat{
			Schema: "dhtfs.stat/v1", File: fileOf(node.File{Record: conflicting}, testLabel), Holders: holdersOf(holders),
			Conflicts: []string{"report.pdf (conflict 00112233)"},
		},
		"stored": storedOf(stored, testLabel),
		"list":   []listLine{{File: &doc}, {Name: record.Name}, {Summary: &summary}, {Error: failure}},
		"look": looks{Schema: "dhtfs.look/v1", Names: []Looked{
			{Stored: true, Changes: 7, File: &Stat{Schema: "dhtfs.stat/v1", File: doc, Holders: holdersOf(holders)}}, {Free: true}, {Error: failure},
		}},
		"put": putLine{Name: record.Name, Op: record.Op, Base: 7, Size: 1234, Mode: 0o640, Modified: when},
		"stored-many": storedMany{
			Schema: "dhtfs.stored.many/v1", Items: []StoredBriefly{storedOf(stored, testLabel).Briefly(), {Error: failure}},
		},
		"contents": []gotLine{
			{Index: 1, File: gotFileOf(doc), Length: 1234, From: []string{"birch"}}, {File: gotFileOf(doc), Later: true},
			{Index: 2, Error: failure}, {End: true},
		},
		"locate":  locateOf(record.Name, lookup, group, 2*time.Second, testLabel),
		"invite":  Invite{Schema: "dhtfs.invite/v1", Token: "dhtfs1…", InviteInfo: inviteOf(invite)},
		"invites": Invites{Schema: "dhtfs.invites/v1", Invites: []InviteInfo{inviteOf(invite)}},
		"scrub": scrubOf(node.ScrubStatus{
			State: node.ScrubRunning, Pass: node.ScrubPass{Begun: when, Files: 12, Bytes: 1 << 20, Damaged: 2, Healed: 1},
			OfFiles: 41, OfBytes: 2 << 30, Rate: 8 << 20, Limit: 8 << 20, Next: when,
			Last: node.ScrubPass{Begun: when, Ended: when.Add(time.Hour), Files: 40, Bytes: 2 << 20}, Found: 3, Healed: 2, Open: 1,
		}),
		"verify": func() []verifyLine {
			progress := VerifyProgress(node.VerifyProgress{Files: 1, OfFiles: 3, Bytes: 4, OfBytes: 12, Damaged: 1, Missing: 1, Healed: 1})
			file := verifiedOf(node.Verified{Name: "a", Size: 4, State: node.VerifiedHealed, From: []string{"birch"}, Err: errors.New("damaged")})
			return []verifyLine{{Progress: &progress}, {File: &file}, {Summary: &progress}, {Error: failure}}
		}(),
		"nodes-revoke": memberChangeOf("revoke", node.MachineID{1}, trust.Revocation{Kept: []node.MachineID{{2}}}, testLabel),
		"logout":       logoutOf(node.LogoutReport{Moved: 4, Elapsed: 1500 * time.Millisecond}),
		"error":        failure,
		"watch": watchOf([]watch.Status{{
			Folder: watch.Folder{Dir: "/home/u/drop", Prefix: "drop/", OnDelete: watch.Keep, Exclude: []string{"*.tmp"}},
			State:  watch.Watching, Files: 6, Published: 3, Waiting: 1, Failed: 2, Conflicts: 1, Skipped: 1, Scanned: when, FilesRead: 7, BytesRead: 8,
			Faults: []watch.Fault{
				{Kind: watch.Conflict, Path: "a/b", Reason: "r", Hint: "h", Since: when},
				{Kind: watch.Watches, Reason: "r", Since: when},
			},
		}, {Folder: watch.Folder{Dir: "/d"}, State: watch.Starting}}),
		"watch-change":  WatchChange{Schema: "dhtfs.watch.add/v1", WatchFolder: watchFolderOf(watch.Folder{Dir: "/d", OnDelete: watch.Remove, Exclude: []string{}})},
		"watch-summary": watchSummaryOf([]watch.Status{{Files: 1, Published: 2}, {Waiting: 3, Failed: 4, Faults: []watch.Fault{{Kind: watch.Ring}, {Path: "a"}}}}),
	}
}

// Fields of documents are only ever added.
func TestGoldenDocuments(t *testing.T) {
	for name, doc := range documents() {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(doc, "", "  ")
			require.NoError(t, err)
			path := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got)+"\n")
		})
	}
}
