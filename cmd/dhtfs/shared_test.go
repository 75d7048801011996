//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/history"
	"github.com/dhtfs/dhtfs/internal/proctest"
)

// sharing is clients that fetch and change the same few names at once, beside a load's,
// each through whichever daemon it comes to. What they were told is kept.
type sharing struct {
	l    *load
	dir  string // of files that are stored
	told history.History
}

// share has clients work on so many names until the load ends.
func (l *load) share(clients, names int) *sharing {
	s := &sharing{l: l, dir: l.t.TempDir(), told: history.History{Start: time.Now()}}
	for c := range clients {
		rng := rand.New(rand.NewPCG(3, uint64(c)))
		l.ended.Go(func() {
			for !l.isOver() {
				s.perform(rng, c, fmt.Sprint("shared/", rng.IntN(names)), history.Kind(rng.IntN(int(history.Kinds))))
			}
		})
	}
	return s
}

// perform runs one command, which tries by itself for as long as it makes sense.
func (s *sharing) perform(rng *rand.Rand, client int, name string, k history.Kind) {
	at := s.l.pick(rng)
	o := s.told.Call(client, name, k)
	switch k {
	case history.Get:
		result := at.Run(s.l.t, "cat", "--read-quorum", "2", name)
		if result.Code == 0 {
			_, err := fmt.Sscanf(string(result.Stdout), "value %d", &o.Value)
			assert.NoError(s.l.t, err, "%s", result)
		}
		s.end(o, result, map[int]history.Result{0: history.Done, 4: history.Done})
	case history.Remove:
		result := at.Run(s.l.t, "rm", "--yes", name)
		s.end(o, result, map[int]history.Result{0: history.Done, 4: history.Absent})
	default:
		path := filepath.Join(s.dir, fmt.Sprint(o.Value)) // a file, since standard input cannot be sent twice
		if !assert.NoError(s.l.t, os.WriteFile(path, fmt.Append(nil, "value ", o.Value), 0o600)) {
			return
		}
		exists := map[history.Kind]string{history.Put: "replace", history.PutIfAbsent: "fail"}[k]
		result := at.Run(s.l.t, "store", path, "--as", name, "--if-exists", exists)
		s.end(o, result, map[int]history.Result{0: history.Done, 5: history.Taken})
	}
}

// end notes what an exit code says; of those that are not listed that is nothing.
func (s *sharing) end(o *history.Operation, result proctest.Result, says map[int]history.Result) {
	s.told.End(o, says[result.Code])
	if _, ok := says[result.Code]; !ok && result.Code != noDaemon {
		s.l.t.Logf("%v of %s: %s", o.Kind, o.Name, result)
	}
}

// check looks whether what the clients were told can have happened.
func (s *sharing) check(t *testing.T) {
	t.Helper()
	known := 0
	for _, o := range s.told.Ops {
		if o.Result != history.Unknown {
			known++
		}
	}
	t.Logf("shared names: %d operations, the outcome of %d is known", len(s.told.Ops), known)
	require.Greater(t, known, len(s.told.Ops)/2)
	assert.NoError(t, s.told.Check())
}
