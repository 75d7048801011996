package node

import (
	"errors"
	"fmt"

	"github.com/dhtfs/dhtfs/filestore"
)

// What an operation can fail with. All of them cross the wire.
var (
	ErrNotFound    = errors.New("not found")                                            // a majority that knows says so
	ErrExists      = errors.New("already stored with other content")                    // see ExistsError for what is there
	ErrUnavailable = errors.New("too few of the nodes that keep this name answer")      // nothing was changed
	ErrOutcome     = errors.New("the outcome is unknown")                               // the same operation ID finds out
	ErrTooFew      = errors.New("fewer durable copies than asked for")                  // stored, but fewer than wanted
	ErrNotIssuer   = errors.New("this node cannot issue invites")                       // only an issuer can
	ErrInterrupted = errors.New("the transfer broke off")                               // may be tried again
	ErrLeaving     = errors.New("this node is leaving the ring and takes no new files") // ask another node
	ErrNotReady    = errors.New("this node is not in its place on the ring yet")        // ask again a little later
	ErrBadRange    = errors.New("no such part of the file")                             // offset past the end
	ErrBadOption   = errors.New("option cannot be used")                                // see the text
	ErrLastMember  = errors.New("the last member has nobody to hand its files to")      // nothing has happened

	// ErrVacant is ErrUnavailable for a name of which nobody there can tell whether
	// it is stored, since all who knew that part of the ring are away. It can be
	// stored: what they may have is another version, kept beside it.
	ErrVacant = fmt.Errorf("%w: all that knew this part of the ring are away", ErrUnavailable)

	errBadReply   = errors.New("the peer's answer makes no sense")
	errBadRequest = errors.New("the peer's request makes no sense")
)

// ExistsError is ErrExists with what is stored under the name.
type ExistsError struct{ Record filestore.Record }

// Error names the file and its size.
func (e *ExistsError) Error() string {
	return fmt.Sprintf("%q is already stored and differs", e.Record.Name)
}

// Unwrap makes errors.Is(err, ErrExists) true.
func (e *ExistsError) Unwrap() error { return ErrExists }

// OpError is the one wrapping that the node's edge adds to whatever went wrong below.
type OpError struct {
	Op   string // store, fetch, stat, delete, list, …
	Name string // the file's, where there is one
	Peer string // the node that answered with the error, where it was another
	Err  error
}

// Error is "op name (peer): cause".
func (e *OpError) Error() string {
	s := e.Op
	if e.Name != "" {
		s += fmt.Sprintf(" %q", e.Name)
	}
	if e.Peer != "" {
		s += " at " + e.Peer
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }
