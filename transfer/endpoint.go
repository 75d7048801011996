package transfer

import (
	"cmp"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Endpoint is a machine's side of all its connections. It may be used
// concurrently.
type Endpoint struct {
	cfg   Config
	codes codes
	door  *door
	noise *rate.Limiter // log lines that strangers can cause
	dry   *rate.Limiter // those that say that accepting fails

	post post
	wg   sync.WaitGroup // goroutines of dialled connections and of joined calls

	mu     sync.Mutex
	closed bool
	peers  map[peerKey]*peer
}

// New returns an endpoint. It starts nothing: goroutines belong to [Endpoint.Serve]
// and, for dialled connections, to the endpoint until [Endpoint.Close].
func New(cfg Config) (*Endpoint, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	codes, err := newCodes(cfg.Errors)
	if err != nil {
		return nil, err
	}
	return &Endpoint{
		cfg:   cfg,
		codes: codes,
		door:  newDoor(cfg),
		noise: rate.NewLimiter(5, 20),
		dry:   rate.NewLimiter(1, 3),
		peers: make(map[peerKey]*peer),
		post:  post{boxes: make(map[boxKey]*box)},
	}, nil
}

// Close ends every dialled connection and everything under way on it, and returns
// when their goroutines have ended. Accepted connections end with their Serve.
// Later calls fail with [ErrClosed].
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	peers := e.peers
	e.peers = make(map[peerKey]*peer)
	e.mu.Unlock()
	for _, p := range peers {
		p.shut()
	}
	e.wg.Wait()
	return nil
}

// Disconnect ends every connection with a machine, accepted ones included.
func (e *Endpoint) Disconnect(machine MachineID) {
	e.door.evict(machine)
	e.mu.Lock()
	var drop []*peer
	for _, p := range e.peers {
		if p.is(machine) {
			drop = append(drop, p)
		}
	}
	e.mu.Unlock()
	for _, p := range drop {
		p.disconnect()
	}
}

// RTT returns the smoothed round trip to a machine on the control connection; ok
// is false when none was measured.
func (e *Endpoint) RTT(machine MachineID) (rtt time.Duration, ok bool) {
	p := e.known(machine)
	if p == nil {
		return 0, false
	}
	rtt = time.Duration(p.rtt.Load())
	return rtt, rtt > 0
}

// Connected reports whether a call to a machine has a connection to go on already.
func (e *Endpoint) Connected(machine MachineID) bool {
	p := e.known(machine)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control != nil
}

// known returns the state kept for a machine, if there is any.
func (e *Endpoint) known(machine MachineID) *peer {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.peers[peerKey{machine: machine}]
}

// hello returns this side's first frame.
func (e *Endpoint) hello(role uint8) hello {
	return hello{
		Min: minProtocol, Max: maxProtocol, MaxChunk: MaxChunk, Role: role,
		Ring: e.cfg.Identity.Root().ID(), Machine: e.cfg.Identity.Machine(),
		Version: cmp.Or(e.cfg.Version, "unknown"),
	}
}
