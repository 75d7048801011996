package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/watch"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Errors of the API itself, beside those of the packages below it.
var (
	ErrUsage      = errors.New("a parameter is missing or wrong")
	ErrNoDaemon   = errors.New("no daemon is running")
	ErrDaemonGone = errors.New("the daemon went away before it answered")
	ErrSilent     = errors.New("the daemon does not answer")
	ErrIntegrity  = errors.New("the content does not match its SHA-256")
	ErrToken      = errors.New("the bearer token or the session is missing or wrong")
	ErrCanceled   = errors.New("canceled before it was done")
	ErrTimeout    = errors.New("the ring did not answer in time")
	ErrInternal   = errors.New("internal error")
	ErrNoInvite   = errors.New("there is no invite with this ID")
	ErrNoFile     = errors.New("no open file came with the call")
)

// The exit codes of the command line, which every Error carries.
const (
	ExitError       = 1
	ExitUsage       = 2
	ExitPartial     = 3
	ExitNotFound    = 4
	ExitExists      = 5
	ExitDenied      = 6
	ExitIntegrity   = 7
	ExitNoSpace     = 8
	ExitTooFew      = 9
	ExitNoDaemon    = 10
	ExitUnreachable = 11
	ExitVersion     = 12
	ExitLocked      = 13
)

// Error is a failure as it crosses the API. It unwraps to the sentinel that
// its ID stands for.
type Error struct {
	Code     int    `json:"code"`               // exit code of the command line
	ID       string `json:"id"`                 // fixed identifier
	Message  string `json:"message"`            // what happened and why, on one line
	Hint     string `json:"hint,omitempty"`     // what to try
	Existing *File  `json:"existing,omitempty"` // with "exists": what is stored
	Changes  uint64 `json:"changes,omitempty"`  // with "not_found": the change counter of a deleted name
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the sentinel of e.ID, nil for an ID this version does not know.
func (e *Error) Unwrap() error {
	for _, k := range kinds {
		if k.id == e.ID {
			return k.err
		}
	}
	return nil
}

// status is the HTTP status that fits e.
func (e *Error) status() int {
	for _, k := range kinds {
		if k.id == e.ID {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// kind ties a sentinel to its identifier, exit code and HTTP status. Of several
// kinds with one ID the first one's sentinel is what Unwrap returns.
type kind struct {
	err    error
	id     string
	code   int
	status int
}

// kinds is searched from the top: what is more specific stands first.
// Identifiers are only ever added.
var kinds = []kind{
	{ErrNoFile, "no_file", ExitUsage, http.StatusBadRequest},
	{ErrUsage, "usage", ExitUsage, http.StatusBadRequest},
	{watch.ErrOption, "usage", ExitUsage, http.StatusBadRequest},
	{node.ErrBadOption, "usage", ExitUsage, http.StatusBadRequest},
	{node.ErrBadRange, "bad_range", ExitUsage, http.StatusBadRequest},
	{filestore.ErrBadName, "bad_name", ExitUsage, http.StatusBadRequest},
	{filestore.ErrCollision, "name_collision", ExitUsage, http.StatusConflict},
	{node.ErrExists, "exists", ExitExists, http.StatusConflict},
	{node.ErrNotFound, "not_found", ExitNotFound, http.StatusNotFound},
	{ErrNoInvite, "no_such_invite", ExitNotFound, http.StatusNotFound},
	{ErrToken, "unauthorized", ExitDenied, http.StatusUnauthorized},
	{trust.ErrBadToken, "bad_token", ExitUsage, http.StatusBadRequest},
	{watch.ErrUnknown, "not_watched", ExitNotFound, http.StatusNotFound},
	{watch.ErrNoFolder, "no_folder", ExitError, http.StatusBadRequest},
	{watch.ErrTwice, "already_watched", ExitError, http.StatusConflict},
	{watch.ErrOverlap, "watch_overlap", ExitError, http.StatusConflict},
	{errNoWatch, "no_watch", ExitError, http.StatusNotImplemented},
	{trust.ErrSettings, "bad_settings", ExitUsage, http.StatusBadRequest},
	{trust.ErrTokenExpired, "invite_expired", ExitDenied, http.StatusForbidden},
	{trust.ErrInviteExpired, "invite_expired", ExitDenied, http.StatusForbidden},
	{trust.ErrInviteUsed, "invite_used", ExitDenied, http.StatusForbidden},
	{trust.ErrInviteRevoked, "invite_revoked", ExitDenied, http.StatusForbidden},
	{trust.ErrInviteUnknown, "invite_unknown", ExitDenied, http.StatusForbidden},
	{trust.ErrNoMember, "no_such_node", ExitNotFound, http.StatusNotFound},
	{node.ErrAmbiguous, "ambiguous_node", ExitUsage, http.StatusConflict},
	{node.ErrIsAlive, "node_alive", ExitError, http.StatusConflict},
	{trust.ErrSeniority, "other_issuer_needed", ExitDenied, http.StatusConflict},
	{trust.ErrWrongMachine, "wrong_machine", ExitDenied, http.StatusForbidden},
	{trust.ErrDeparted, "departed", ExitDenied, http.StatusForbidden},
	{trust.ErrRevoked, "revoked", ExitDenied, http.StatusForbidden},
	{trust.ErrForeign, "foreign", ExitDenied, http.StatusForbidden},
	{trust.ErrClock, "clock", ExitDenied, http.StatusForbidden},
	{node.ErrNotIssuer, "not_issuer", ExitDenied, http.StatusForbidden},
	{ErrIntegrity, "integrity", ExitIntegrity, http.StatusBadGateway},
	{filestore.ErrCorrupt, "integrity", ExitIntegrity, http.StatusBadGateway},
	{filestore.ErrNoSpace, "no_space", ExitNoSpace, http.StatusInsufficientStorage},
	{node.ErrTooFew, "too_few_copies", ExitTooFew, http.StatusServiceUnavailable},
	{node.ErrOutcome, "outcome_unknown", ExitUnreachable, http.StatusServiceUnavailable},
	{node.ErrVacant, "vacant", ExitUnreachable, http.StatusServiceUnavailable},
	{node.ErrUnavailable, "unavailable", ExitUnreachable, http.StatusServiceUnavailable},
	{node.ErrNotReady, "not_ready", ExitUnreachable, http.StatusServiceUnavailable},
	{node.ErrLeaving, "leaving", ExitUnreachable, http.StatusServiceUnavailable},
	{node.ErrInterrupted, "interrupted", ExitError, http.StatusBadRequest},
	{filestore.ErrLocked, "locked", ExitLocked, http.StatusConflict},
	{filestore.ErrDegraded, "degraded", ExitError, http.StatusInternalServerError},
	{node.ErrLastMember, "last_member", ExitError, http.StatusConflict},
	{transfer.ErrIncompatible, "incompatible", ExitVersion, http.StatusBadGateway},
	{transfer.ErrDenied, "denied", ExitDenied, http.StatusForbidden},
	{transfer.ErrCorrupt, "integrity", ExitIntegrity, http.StatusBadGateway},
	{transfer.ErrUnreachable, "unreachable", ExitUnreachable, http.StatusServiceUnavailable},
	{transfer.ErrBusy, "busy", ExitUnreachable, http.StatusServiceUnavailable},
	{ErrNoDaemon, "no_daemon", ExitNoDaemon, http.StatusBadGateway},
	{ErrDaemonGone, "daemon_gone", ExitNoDaemon, http.StatusBadGateway},
	{ErrSilent, "daemon_silent", ExitNoDaemon, http.StatusGatewayTimeout},
	{ErrTimeout, "timeout", ExitUnreachable, http.StatusGatewayTimeout},
	{context.DeadlineExceeded, "timeout", ExitUnreachable, http.StatusGatewayTimeout},
	{ErrCanceled, "canceled", ExitError, http.StatusServiceUnavailable},
	{context.Canceled, "canceled", ExitError, http.StatusServiceUnavailable},
	{ErrInternal, "internal", ExitError, http.StatusInternalServerError},
}

// Describe puts err into the form in which it crosses the API. An err that has
// been through it before comes back as it was, with the message it has now.
func Describe(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		described := *e
		described.Message = oneLine(err)
		return &described
	}
	for _, k := range kinds {
		if !errors.Is(err, k.err) {
			continue
		}
		e := &Error{Code: k.code, ID: k.id, Message: oneLine(err)}
		if errors.Is(k.err, context.DeadlineExceeded) || errors.Is(k.err, context.Canceled) {
			e.Message = e.Unwrap().Error()
		}
		return e
	}
	return &Error{Code: ExitError, ID: "internal", Message: oneLine(err)}
}

// dialing is how package net begins what it says of a connection that failed.
var dialing = regexp.MustCompile(`dial (?:tcp|udp|unix) (\S+): (?:connect: )?`)

// oneLine is what err says, with "; " between joined errors and without the
// steps of making a connection.
func oneLine(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	return dialing.ReplaceAllString(text, "$1: ")
}
