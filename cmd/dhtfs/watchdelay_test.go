//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestWatchDelays prints how long after their completion files are on a ring of
// three daemons on this machine (make watch-delays). It says something on a quiet
// machine only, and nothing fails when it is slow.
func TestWatchDelays(t *testing.T) {
	if !proctest.Long() {
		t.Skip("it measures, and takes two minutes: make watch-delays")
	}
	ring := proctest.NewRing(t, 3)
	d := newDrop(t, ring, nil, t.TempDir(), "drop/") // a witness would fetch everything
	total := 0
	// report waits until as many files more are published and prints since when they are complete.
	report := func(t *testing.T, count int, complete time.Time) {
		total += count
		proctest.Eventually(t, 4*time.Minute, func() error {
			if now := d.status(); now.Waiting > 0 || now.Published < total {
				return fmt.Errorf("%+v", now)
			}
			return nil
		})
		t.Logf("on the ring %.1f s after completion", time.Since(complete).Seconds())
	}
	t.Run("a file of 10 KiB", func(t *testing.T) {
		for i := range 3 {
			writeFile(t, d.path(fmt.Sprintf("small %d", i)), 10<<10)
			report(t, 1, time.Now())
		}
	})
	t.Run("a file of 24 MiB", func(t *testing.T) {
		writeFile(t, d.path("medium"), 24<<20)
		report(t, 1, time.Now())
	})
	t.Run("a file of 1 GiB, copied at 20 MB a second", func(t *testing.T) {
		f, err := os.Create(d.path("large"))
		require.NoError(t, err)
		const size, rate = 1 << 30, 20e6
		from, begun := noise("large", size), time.Now()
		for done := int64(0); done < size; {
			n, err := io.CopyN(f, from, min(1<<20, size-done))
			require.NoError(t, err)
			done += n
			time.Sleep(time.Until(begun.Add(time.Duration(float64(done) / rate * float64(time.Second))))) // the rate
		}
		require.NoError(t, f.Close())
		report(t, 1, time.Now())
	})
	t.Run("5000 files of up to 20 kB, unpacked by tar", func(t *testing.T) {
		archive := filepath.Join(t.TempDir(), "archive.tar")
		manyFiles(t, archive, 5000)
		begun := time.Now()
		require.NoError(t, exec.CommandContext(t.Context(), "tar", "xf", archive, "-C", d.dir).Run())
		t.Logf("tar took %.1f s", time.Since(begun).Seconds())
		report(t, 5000, time.Now())
	})
	want := shelf{}
	want.read(t, d.dir)
	got := shelf{}
	for name, sum := range listed(t, ring.Nodes[1], d.prefix) {
		got[strings.TrimPrefix(name, d.prefix)] = sum
	}
	require.Equal(t, want, got)
}
