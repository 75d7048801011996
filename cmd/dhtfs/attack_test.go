//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// attackedMemory is what a daemon may take at most, whatever is done to it.
const attackedMemory = 200 << 20

// siege is a ring of daemons with one that is attacked, and what an attacker has:
// its address, a foreign ring, and for attacks from within a membership.
type siege struct {
	ring    *proctest.Ring
	target  *proctest.Node // which has the HTTP port, too
	addr    string
	machine transfer.MachineID // the target's
	mallory *trust.Identity    // a member whose machine has been taken over
	foreign *trust.Identity    // of another ring
	used    trust.Token        // an invite that mallory has used up
	root    *trust.Root
}

// attack is something that an attacker does. It returns what was made of it: the
// target's answer, or that it closed the connection.
type attack struct {
	name string
	do   func(t testing.TB, s *siege) (answer string)
	want string // part of the answer
	log  string // part of the line in the target's log, "" for none
}

const wasClosed = "closed"

// full reports whether the whole suite was asked for, make attack.
func full() bool { return os.Getenv("DHTFS_ATTACK") != "" }

// TestAttack attacks a ring in every way that docs/security-tests.md lists, first
// one after the other, then all at once while members use the ring.
func TestAttack(t *testing.T) {
	s := besiege(t)
	files := storeSome(t, s.ring.Nodes[1], 12)
	big := filepath.Join(t.TempDir(), "big")
	size := int64(4 << 20)
	if full() {
		size = 64 << 20
	}
	writeFile(t, big, size)
	s.ring.Nodes[2].Run(t, "store", big).OK(t)
	files["big"] = hashOfFile(t, big)

	quick := slices.Concat(strangers(), members(), webPages())
	var lasting []attack
	if full() {
		lasting = slow()
	}
	for _, a := range slices.Concat(quick, lasting) {
		t.Run(a.name, func(t *testing.T) {
			before := len(s.target.Log())
			answer := a.do(t, s)
			t.Log(answer)
			assert.Contains(t, answer, a.want)
			if a.log != "" {
				proctest.Eventually(t, time.Minute, func() error {
					_, err := logged(s.target.Log()[before:], a.log)
					return err
				})
			}
			assert.Equal(t, files["some/00.bin"], hashOf(t, strings.NewReader(cat(t, s.target, "some/00.bin"))), "a member is served")
		})
	}

	t.Run("handshakes without end", func(t *testing.T) { s.weather(t, files) })
	t.Run("all at once", func(t *testing.T) { s.assault(t, quick, lasting, files) })

	t.Run("a member that was revoked", s.revoke)
	for _, n := range s.ring.Nodes {
		files.check(t, n)
		peak := n.PeakMemory(t)
		t.Logf("%s had up to %d MiB of memory", n.Name, peak>>20)
		if !raceDetector {
			assert.Less(t, peak, int64(attackedMemory), n.Name)
		}
	}
	s.ring.WaitWhole(t, s.ring.Nodes...)
	assert.NotContains(t, s.target.Log(), "\x1b", "mallory's software has a version that paints")
}

func cat(t *testing.T, n *proctest.Node, name string) string {
	var b strings.Builder
	proctest.Start(t, nil, &b, n.Args("cat", name)...).Wait(t).OK(t)
	return b.String()
}

// besiege starts a ring of four, and makes the attacker's things.
func besiege(t *testing.T) *siege {
	s := &siege{ring: proctest.NewRing(t, 4)}
	s.target = s.ring.Nodes[0]
	s.target.Run(t, "down").OK(t)
	s.target.Run(t, "up", "--http", "127.0.0.1:0").OK(t)
	s.ring.WaitWhole(t, s.ring.Nodes...)
	s.addr = s.target.Daemon(t).Listen
	own, err := trust.LoadIdentity(filepath.Join(s.target.Home, "member"))
	require.NoError(t, err)
	s.machine, s.root = own.Machine(), own.Root()

	line := strings.TrimSpace(string(s.target.Run(t, "invite", "--print", "token").OK(t).Stdout))
	s.used, err = trust.ParseToken(line, time.Now())
	require.NoError(t, err)
	s.mallory, _, err = transfer.JoinRing(t.Context(), s.used, newKey(t), "mallory", 1, nil, nil)
	require.NoError(t, err)
	key := newKey(t)
	other, err := trust.CreateRing("other", 3, 2, 2, key, time.Now())
	require.NoError(t, err)
	chain, err := other.Issue(public(key), "foreigner", 1, nil, time.Now())
	require.NoError(t, err)
	s.foreign, err = trust.NewIdentity(key, chain)
	require.NoError(t, err)
	return s
}

// indifferent is a test that does not mind failures.
type indifferent struct {
	testing.TB
	cleanups []func()
}

func (*indifferent) Errorf(string, ...any) {}
func (*indifferent) FailNow()              { runtime.Goexit() }
func (i *indifferent) Cleanup(f func())    { i.cleanups = append(i.cleanups, f) }
func (*indifferent) Log(...any)            {}
func (*indifferent) Logf(string, ...any)   {}

// unheeded does something whose outcome depends on what else goes on.
func unheeded(t testing.TB, do func(t testing.TB)) {
	i := &indifferent{TB: t}
	var done sync.WaitGroup
	done.Go(func() { do(i) })
	done.Wait()
	for _, f := range i.cleanups {
		f()
	}
}

// flood fills the target with silent connections from many addresses, and keeps
// it full; started is closed when it is the first time. It counts the connections.
func (s *siege) flood(ctx context.Context, t *testing.T, busy *sync.WaitGroup) (started chan struct{}, made *atomic.Int64) {
	n := 300
	if full() {
		n = 10000
	}
	started, made = make(chan struct{}), new(atomic.Int64)
	busy.Go(func() {
		conns := make([]net.Conn, n)
		defer func() {
			for _, c := range conns {
				if c != nil {
					_ = c.Close()
				}
			}
		}()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			if i == n {
				t.Logf("%d silent connections were made", n)
				close(started)
			}
			if i >= n {
				select { // what was sent away comes back, at some pace
				case <-ctx.Done():
				case <-tick.C:
				}
			}
			if c := conns[i%n]; c != nil {
				_ = c.Close()
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%100))}, Timeout: 10 * time.Second}
			if c, err := dialer.DialContext(ctx, "tcp", s.addr); err == nil {
				conns[i%n] = c
				made.Add(1)
			} else {
				conns[i%n] = nil
			}
		}
		if ctx.Err() != nil {
			select {
			case <-started:
			default:
				close(started)
			}
		}
	})
	return started, made
}

// heard reads what the target says until it closes, or has said enough.
func heard(conn net.Conn) string {
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	said, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	if err != nil && len(said) == 0 {
		return wasClosed + ": " + err.Error()
	}
	return wasClosed + " after saying " + string(said)
}
