package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/time/rate"

	"github.com/dhtfs/dhtfs/filestore"
)

// Scrubbing: everything that this node holds is read and checked again and
// again, slowly, so that damage is found while others still have good copies.

const (
	defaultScrubEvery = 7 * 24 * time.Hour
	defaultScrubRate  = 8 << 20 // bytes a second
	scrubSaveEvery    = time.Minute
	scrubSettle       = time.Minute // after a pass that broke off
	metaScrub         = "scrub"
)

// ScrubState is what the scrubber is doing.
type ScrubState string

// The states of the scrubber.
const (
	ScrubRunning ScrubState = "running"
	ScrubWaiting ScrubState = "waiting" // for the next pass to be due
	ScrubPaused  ScrubState = "paused"  // by a person, restarts included
	ScrubHalted  ScrubState = "halted"  // this node is degraded
)

// ScrubPass is one reading of everything.
type ScrubPass struct {
	Begun   time.Time
	Ended   time.Time // zero while it goes on
	Files   int       // checked
	Bytes   int64
	Damaged int
	Healed  int
}

// ScrubStatus tells how far scrubbing is.
type ScrubStatus struct {
	State   ScrubState
	Pass    ScrubPass // the one under way; zero Begun: none
	OfFiles int       // held now
	OfBytes int64
	Rate    float64   // bytes a second, of the pass under way since it was last begun or resumed
	Limit   int64     // bytes a second
	Next    time.Time // when a pass begins, if State is ScrubWaiting
	Last    ScrubPass // the one that ended last; zero Begun: none
	Found   int       // damaged contents since the node was started, by whatever read them
	Healed  int
	Open    int // of these, not healed yet
}

// scrubber is the state of scrubbing. Its goroutine is runScrub.
type scrubber struct {
	wake  chan struct{}
	every time.Duration
	limit int64

	mu      sync.Mutex
	saved   scrubRecord
	resumed time.Time // zero: no pass is being worked on
	from    int64     // its Bytes then
}

// scrubRecord is what is kept over restarts, as CBOR.
type scrubRecord struct {
	Paused bool      `cbor:"1,keyasint,omitempty"`
	Since  int64     `cbor:"2,keyasint"` // what the next pass is reckoned from, in nanoseconds since 1970
	Pass   savedPass `cbor:"3,keyasint"`
	Last   savedPass `cbor:"4,keyasint"`
}

// savedPass is a ScrubPass as it is kept.
type savedPass struct {
	Begun   int64  `cbor:"1,keyasint,omitempty"` // 0: there is none
	Ended   int64  `cbor:"2,keyasint,omitempty"`
	Files   int    `cbor:"3,keyasint,omitempty"`
	Bytes   int64  `cbor:"4,keyasint,omitempty"`
	Damaged int    `cbor:"5,keyasint,omitempty"`
	Healed  int    `cbor:"6,keyasint,omitempty"`
	At      cursor `cbor:"7,keyasint"` // the last name that was checked
}

func (p savedPass) pass() ScrubPass {
	at := func(nano int64) (t time.Time) {
		if nano != 0 {
			t = time.Unix(0, nano)
		}
		return t
	}
	return ScrubPass{
		Begun: at(p.Begun), Ended: at(p.Ended), Files: p.Files, Bytes: p.Bytes, Damaged: p.Damaged, Healed: p.Healed,
	}
}

// openScrubber reads what a former life of the node has left. A new node's
// first pass comes at some time within ScrubEvery, so that those of a ring that
// was started at once do not all read at once.
func openScrubber(s *filestore.Store, c *Config) (*scrubber, error) {
	x := &scrubber{wake: make(chan struct{}, 1), every: c.Timing.ScrubEvery, limit: c.Timing.ScrubRate}
	b, err := s.Meta(metaScrub)
	switch {
	case errors.Is(err, filestore.ErrDegraded):
		return x, nil
	case err != nil:
		return nil, err
	case b != nil:
		if err := cbor.Unmarshal(b, &x.saved); err != nil {
			return nil, fmt.Errorf("position of scrubbing: %w", err)
		}
		return x, nil
	}
	x.saved.Since = time.Now().Add(-time.Duration(rand.Int64N(int64(x.every)/2 + 1))).UnixNano()
	return x, nil
}

// next is when a pass begins. x.mu is held.
func (x *scrubber) next() time.Time { return time.Unix(0, x.saved.Since).Add(x.every) }

// Scrub tells how far scrubbing is.
func (n *Node) Scrub() ScrubStatus {
	x := n.scrubber
	s := ScrubStatus{Limit: x.limit}
	s.OfFiles, s.OfBytes, _ = n.store.Usage()
	s.Found, s.Healed, s.Open = n.healer.counts()
	x.mu.Lock()
	defer x.mu.Unlock()
	s.Pass, s.Last = x.saved.Pass.pass(), x.saved.Last.pass()
	switch {
	case n.store.Degraded() != nil:
		s.State = ScrubHalted
	case x.saved.Paused:
		s.State = ScrubPaused
	case x.saved.Pass.Begun != 0:
		s.State = ScrubRunning
	default:
		s.State, s.Next = ScrubWaiting, x.next()
	}
	if took := time.Since(x.resumed); !x.resumed.IsZero() && took > 0 {
		s.Rate = float64(x.saved.Pass.Bytes-x.from) / took.Seconds()
	}
	return s
}

// ScrubStart begins a pass now, or goes on with one that was paused.
func (n *Node) ScrubStart() error {
	return n.changeScrub("scrub start", func(r *scrubRecord) {
		r.Paused = false
		if r.Pass.Begun == 0 {
			r.Since = time.Now().UnixNano()
			r.Pass = savedPass{Begun: r.Since}
		}
	})
}

// ScrubPause stops scrubbing until ScrubStart, restarts of the node included.
func (n *Node) ScrubPause() error {
	return n.changeScrub("scrub pause", func(r *scrubRecord) { r.Paused = true })
}

func (n *Node) changeScrub(op string, f func(*scrubRecord)) error {
	if err := n.store.Degraded(); err != nil {
		return &OpError{Op: op, Err: err}
	}
	n.scrubber.mu.Lock()
	f(&n.scrubber.saved)
	n.scrubber.mu.Unlock()
	signal(n.scrubber.wake)
	if err := n.saveScrub(); err != nil {
		return &OpError{Op: op, Err: err}
	}
	return nil
}

func (n *Node) saveScrub() error {
	n.scrubber.mu.Lock()
	b, err := cbor.Marshal(n.scrubber.saved)
	n.scrubber.mu.Unlock()
	if err != nil {
		return err
	}
	return n.store.SetMeta(metaScrub, b)
}

// runScrub scrubs when a pass is due.
func (n *Node) runScrub(ctx context.Context) error {
	x := n.scrubber
	if err := n.saveScrub(); err != nil {
		n.log.Warn("cannot keep the position of scrubbing", "err", err)
	}
	limiter := newLimiter(x.limit)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		case <-timer.C:
		}
		wait := scrubSettle
		if n.passIsDue() {
			err := n.scrubPass(ctx, limiter)
			if err := n.saveScrub(); err != nil && ctx.Err() == nil {
				n.log.Warn("cannot keep the position of scrubbing", "err", err)
			}
			if err != nil && ctx.Err() == nil && !errors.Is(err, errScrubPaused) {
				n.log.Warn("scrubbing broke off", "err", err)
			}
		}
		x.mu.Lock()
		if x.saved.Pass.Begun == 0 {
			wait = max(wait, time.Until(x.next()))
		}
		x.mu.Unlock()
		timer.Reset(wait)
	}
}

// passIsDue begins a pass if it is time for one, and reports whether there is
// one to work on.
func (n *Node) passIsDue() bool {
	if n.store.Degraded() != nil {
		return false
	}
	x := n.scrubber
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if x.saved.Paused || x.saved.Pass.Begun == 0 && now.Before(x.next()) {
		return false
	}
	if x.saved.Pass.Begun == 0 {
		x.saved.Since = now.UnixNano()
		x.saved.Pass = savedPass{Begun: now.UnixNano()}
	}
	return true
}

var errScrubPaused = errors.New("scrubbing is paused")

// scrubPass goes on with the pass that was begun, up to its end unless it is
// paused. Damage is healed as it is found.
func (n *Node) scrubPass(ctx context.Context, limiter *rate.Limiter) error {
	x := n.scrubber
	x.mu.Lock()
	x.resumed, x.from = time.Now(), x.saved.Pass.Bytes
	at := x.saved.Pass.At
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.resumed = time.Time{}
		x.mu.Unlock()
	}()
	if err := n.store.VerifyTable(); err != nil {
		return err
	}
	keeps := paceOf(ctx, limiter)
	pace := func(bytes int) error {
		if x.isPaused() {
			return errScrubPaused
		}
		return keeps(bytes)
	}
	saved := time.Now()
	err := n.eachOwn(filestore.Cursor{Key: at.Key, Name: at.Name}, func(reg filestore.Entry) error {
		if err := pace(0); err != nil {
			return err
		}
		v, err := n.verifyOne(ctx, reg, true, pace)
		if err != nil {
			return err
		}
		x.checked(reg.Cursor, v)
		if time.Since(saved) < scrubSaveEvery {
			return nil
		}
		saved = time.Now()
		return n.saveScrub()
	})
	if err != nil {
		return err
	}
	p := x.finish()
	n.log.Info("scrubbed everything", "files", p.Files, "bytes", p.Bytes, "damaged", p.Damaged, "healed", p.Healed)
	return nil
}

func (x *scrubber) isPaused() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.saved.Paused
}

// checked notes what became of one file.
func (x *scrubber) checked(at filestore.Cursor, v Verified) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := &x.saved.Pass
	p.At = cursor{Key: at.Key, Name: at.Name}
	if v.State == "" {
		return
	}
	p.Files++
	p.Bytes += v.Size
	if v.State != VerifiedOK {
		p.Damaged++
	}
	if v.State == VerifiedHealed {
		p.Healed++
	}
}

// finish ends the pass.
func (x *scrubber) finish() savedPass {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.saved.Pass
	p.Ended = time.Now().UnixNano()
	x.saved.Last, x.saved.Pass = p, savedPass{}
	return p
}
