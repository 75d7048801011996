package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// What this package reports; test with errors.Is. Most cross the wire.
var (
	// ErrUnreachable: no connection to the peer, or it was lost or fell silent. What
	// was asked may or may not have been done.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrClosed: the endpoint or the stream was closed on this side.
	ErrClosed = errors.New("closed")
	// ErrIncompatible: the two sides have no protocol version in common.
	ErrIncompatible = errors.New("versions are incompatible")
	// ErrProtocol: a frame or a request that breaks the protocol.
	ErrProtocol = errors.New("protocol violation")
	// ErrTooLarge: something is larger than its limit.
	ErrTooLarge = errors.New("too large")
	// ErrBusy: the peer has as much to do for us as it allows; try later.
	ErrBusy = errors.New("peer is busy")
	// ErrDenied: the peer refuses this machine.
	ErrDenied = errors.New("access denied")
	// ErrCorrupt: content is not what its checksum says.
	ErrCorrupt = errors.New("content is damaged")
	// ErrNotSent: with another error, says that the peer has seen nothing of the
	// request. It does not cross the wire.
	ErrNotSent = errors.New("not sent")
	// ErrInternal: the peer failed in a way that has no code of its own.
	ErrInternal = errors.New("peer failed")
)

// Code is an error's number on the wire. Numbers are append only and never used
// again; those below [FirstCode] belong to this package.
type Code uint16

// FirstCode is the first number free for [Config.Errors].
const FirstCode Code = 100

// CodedError ties a number on the wire to the sentinel that errors.Is knows.
type CodedError struct {
	Code Code
	Err  error
}

// builtin lists the codes of this package. An error takes the first that matches.
var builtin = []CodedError{
	{2, context.Canceled},
	{3, context.DeadlineExceeded},
	{4, ErrIncompatible},
	{5, ErrProtocol},
	{6, ErrTooLarge},
	{7, ErrBusy},
	{9, ErrCorrupt},
	{10, ErrClosed},
	{11, ErrUnreachable},
	{12, trust.ErrClock},
	{13, trust.ErrRevoked},
	{14, trust.ErrDeparted},
	{15, trust.ErrForeign},
	{8, ErrDenied},
	{32, trust.ErrInviteUnknown},
	{33, trust.ErrInviteUsed},
	{34, trust.ErrInviteExpired},
	{35, trust.ErrInviteRevoked},
	{36, trust.ErrBadRequest},
	{37, trust.ErrNoMember},
	{1, ErrInternal},
}

const (
	codeInternal Code = 1
	maxMessage        = 1 << 10 // bytes of an error's text
)

// RemoteError is an error that a peer reported. errors.Is finds the sentinel of
// its code; a code that this version does not know has none.
type RemoteError struct {
	Code    Code
	Message string
	err     error
}

// Error returns the peer's own words.
func (e *RemoteError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("remote error %d", e.Code)
	}
	return e.Message
}

// Unwrap returns the sentinel of the code, or nil.
func (e *RemoteError) Unwrap() error { return e.err }

// wireError is an error as it is sent.
type wireError struct {
	Code    Code   `cbor:"1,keyasint"`
	Message string `cbor:"2,keyasint"`
}

// codes translates between errors and numbers.
type codes []CodedError

func newCodes(extra []CodedError) (codes, error) {
	seen := make(map[Code]bool)
	for _, c := range extra {
		if c.Code < FirstCode || c.Err == nil || seen[c.Code] {
			return nil, fmt.Errorf("error code %d: below %d, without an error or given twice", c.Code, FirstCode)
		}
		seen[c.Code] = true
	}
	return append(append(codes{}, extra...), builtin...), nil
}

// encode numbers an error. One that came from a peer keeps its number.
func (cs codes) encode(err error) []byte {
	w := wireError{Code: codeInternal, Message: strings.ToValidUTF8(err.Error(), "�")}
	if len(w.Message) > maxMessage {
		w.Message = strings.ToValidUTF8(w.Message[:maxMessage], "")
	}
	var remote *RemoteError
	if errors.As(err, &remote) {
		w.Code = remote.Code
	}
	for _, c := range cs {
		if errors.Is(err, c.Err) {
			w.Code = c.Code
			break
		}
	}
	return mustMarshal(w)
}

// decode reads a peer's error. What cannot be read is a violation in itself.
func (cs codes) decode(payload []byte) error {
	var w wireError
	if err := Unmarshal(payload, &w); err != nil {
		return fmt.Errorf("%w: error frame: %w", ErrProtocol, err)
	}
	e := &RemoteError{Code: w.Code, Message: w.Message}
	for _, c := range cs {
		if c.Code == w.Code {
			e.err = c.Err
		}
	}
	return e
}
