package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/node/api"
)

func TestScrubLines(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	ended := now.Add(-time.Hour)
	next := now.Add(24 * time.Hour)
	for _, c := range []struct {
		doc  api.Scrub
		want []string
	}{
		{
			api.Scrub{State: "waiting", Next: &next, Limit: 8 << 20},
			[]string{"scrub waiting; the next begins 2026-03-05 12:00, at 8.0 MiB/s at most", "since this node was started: no damage"},
		},
		{
			api.Scrub{
				State: "running", Limit: 8 << 20, Rate: 4 << 20, OfFiles: 41, OfBytes: 4 << 30, Found: 3, Healed: 2, Open: 1,
				Pass: &api.ScrubPass{Begun: ended, Files: 12, Bytes: 1 << 30, Damaged: 2, Healed: 1},
				Last: &api.ScrubPass{Begun: ended, Ended: &ended, Files: 40, Bytes: 1 << 30},
			},
			[]string{
				"scrub running; 4.0 MiB/s of 8.0 MiB/s at most",
				"this one began 11:00: 12 of 41 files, 1.0 GiB of 4.0 GiB (25 %); 2 damaged, 1 healed",
				"the last ended 11:00: 40 files, 1.0 GiB; no damage",
				"since this node was started: 3 damaged, 2 healed, 1 to go",
			},
		},
		{api.Scrub{State: "paused", Pass: &api.ScrubPass{Begun: ended}}, []string{
			"scrub paused", "this one began 11:00: 0 of 0 files, 0 B of 0 B; no damage", "since this node was started: no damage",
		}},
	} {
		assert.Equal(t, c.want, scrubLines(c.doc, now))
	}
}
