package cli

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/node/api"
)

// Each check says what it sees, and what to do when that is not as it should be.
func TestFindings(t *testing.T) {
	a, _, _ := testApp(false)
	a.paths.Data = t.TempDir()
	self := api.Member{Name: "otter", Self: true, State: "alive", Used: 10 << 20, Free: 90 << 20, Capacity: 100 << 20, Version: version()}
	other := func(f func(*api.Member)) api.Member {
		m := api.Member{Name: "birch", State: "alive", Version: version()}
		f(&m)
		return m
	}
	minutes := func(n float64) api.Member {
		return other(func(m *api.Member) { m.Clock = n * float64(time.Minute/time.Millisecond) })
	}
	for name, c := range map[string]struct {
		nodes   []api.Member
		status  api.Status
		check   func(*patient) finding
		verdict verdict
		message string
	}{
		"clock alone":  {[]api.Member{self}, api.Status{}, (*patient).clock, fine, "no other node"},
		"clock right":  {[]api.Member{self, minutes(0)}, api.Status{}, (*patient).clock, fine, "of 1 other node"},
		"clock off":    {[]api.Member{self, minutes(-1)}, api.Status{}, (*patient).clock, warned, "birch is 1m0s behind this"},
		"clock far":    {[]api.Member{self, minutes(60)}, api.Status{}, (*patient).clock, bad, "birch is 1h0m0s ahead of"},
		"clock silent": {[]api.Member{self, other(func(m *api.Member) { m.State, m.Clock = "unreachable", 1e9 })}, api.Status{}, (*patient).clock, fine, "no other"},
		"disk":         {[]api.Member{self}, api.Status{}, (*patient).disk, fine, "room for 90 MiB more"},
		"disk low": {
			[]api.Member{other(func(m *api.Member) { m.Self, m.Free, m.Capacity = true, 1<<20, 100<<20 })},
			api.Status{}, (*patient).disk, warned, "room for 1.0 MiB",
		},
		"disk full":  {[]api.Member{other(func(m *api.Member) { m.Self, m.Capacity = true, 100<<20 })}, api.Status{}, (*patient).disk, bad, "room for 0 B"},
		"degraded":   {nil, api.Status{Degraded: "EIO"}, (*patient).daemon, bad, "EIO"},
		"unplaced":   {nil, api.Status{}, (*patient).daemon, warned, "not in its place"},
		"placed":     {nil, api.Status{Ready: true, Node: "otter"}, (*patient).daemon, fine, "otter"},
		"old daemon": {nil, api.Status{Version: "v0.0.1"}, (*patient).versions, warned, "v0.0.1"},
		"old node":   {[]api.Member{other(func(m *api.Member) { m.Version = "v0.0.1" })}, api.Status{Version: version()}, (*patient).versions, warned, "birch v0.0.1"},
		"one is out": {[]api.Member{self, other(func(m *api.Member) { m.State = "degraded" })}, api.Status{}, (*patient).members, warned, "birch is degraded"},
		"all in":     {[]api.Member{self, other(func(*api.Member) {})}, api.Status{}, (*patient).members, fine, "2 nodes"},
		"copies":     {nil, api.Status{CopiesMissing: 2}, (*patient).files, warned, "2 copies missing"},
		"damage":     {nil, api.Status{Warnings: []string{"1 damaged file"}}, (*patient).files, warned, "1 damaged"},
		"content":    {nil, api.Status{Files: 3}, (*patient).files, fine, "3 files"},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.check(&patient{app: a, nodes: c.nodes, status: &c.status})
			assert.Equal(t, c.verdict, f.Verdict)
			assert.Contains(t, f.Message, c.message)
			assert.Equal(t, c.verdict != fine, f.Fix != "", "what to do")
		})
	}
	assert.Len(t, (&patient{app: a, reason: api.ErrNoDaemon}).findings(context.Background()), 8)
}
