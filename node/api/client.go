package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// Client calls a node's daemon. Its errors are *Error where the daemon
// answered, and wrap ErrNoDaemon, ErrDaemonGone or ErrSilent where it did not. Safe for
// concurrent use.
type Client struct {
	http    *http.Client
	noFiles atomic.Bool // the daemon takes no open files
}

// NewClient returns a client that reaches the daemon through dial, which is
// called for every new connection; it should wrap ErrNoDaemon, ErrDaemonGone or
// ErrSilent when there is nobody to reach.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := dial(ctx)
				if err != nil && ctx.Err() == nil && !isNoAnswer(err) {
					err = fmt.Errorf("%w: %w", ErrNoDaemon, err)
				}
				if err != nil {
					return nil, err
				}
				return sendsFiles(conn), nil
			},
			ExpectContinueTimeout: 10 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   64,
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        64 << 10,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the node's view of itself and its ring.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// WaitReady is Status once the node is in its place. After timeout, which is
// forever if zero, it is node.ErrNotReady.
func (c *Client) WaitReady(ctx context.Context, timeout time.Duration) (Status, error) {
	return get[Status](ctx, c, "/v1/status", url.Values{"wait": {"ready"}, "timeout": {timeout.String()}})
}

// Nodes asks for the members of the ring.
func (c *Client) Nodes(ctx context.Context) (Nodes, error) {
	return get[Nodes](ctx, c, "/v1/nodes", nil)
}

// Promote makes a member an issuer; name is its name, or the beginning of its node
// ID or machine ID.
func (c *Client) Promote(ctx context.Context, name string) (MemberChange, error) {
	return c.changeMember(ctx, "promote", memberRequest{Node: name})
}

// Forget takes a member that does not come back out of the ring; with force also
// one that answers.
func (c *Client) Forget(ctx context.Context, name string, force bool) (MemberChange, error) {
	return c.changeMember(ctx, "forget", memberRequest{Node: name, Force: force})
}

// Revoke shuts a member out for ever, and with it those that it let in if that is asked.
func (c *Client) Revoke(ctx context.Context, name string, withAdmitted bool) (MemberChange, error) {
	return c.changeMember(ctx, "revoke", memberRequest{Node: name, WithAdmitted: withAdmitted})
}

func (c *Client) changeMember(ctx context.Context, verb string, request memberRequest) (MemberChange, error) {
	var doc MemberChange
	err := c.call(ctx, http.MethodPost, "/v1/nodes/"+verb, nil, request, &doc)
	return doc, err
}

// Ring asks every node for its positions.
func (c *Client) Ring(ctx context.Context) (Ring, error) {
	return get[Ring](ctx, c, "/v1/ring", nil)
}

// Fingers asks for the node's own finger tables.
func (c *Client) Fingers(ctx context.Context) (Fingers, error) {
	return get[Fingers](ctx, c, "/v1/fingers", nil)
}

// LocateName looks up where name sits on the ring.
func (c *Client) LocateName(ctx context.Context, name string) (Locate, error) {
	return get[Locate](ctx, c, "/v1/locate", url.Values{"name": {name}})
}

// LocateKey looks up a key, in hex.
func (c *Client) LocateKey(ctx context.Context, key string) (Locate, error) {
	return get[Locate](ctx, c, "/v1/locate", url.Values{"key": {key}})
}

// Stat asks for a file and its holders. With node.ErrNotFound the Error's
// Changes is the change counter of a name that was deleted.
func (c *Client) Stat(ctx context.Context, name string) (Stat, error) {
	return get[Stat](ctx, c, "/v1/file", url.Values{"name": {name}})
}

// Delete removes name from the ring. op and base are those of node.StoreOptions.
func (c *Client) Delete(ctx context.Context, name string, op filestore.OpID, base uint64) error {
	query := url.Values{"name": {name}, "op": {op.String()}, "base": {strconv.FormatUint(base, 10)}}
	return c.call(ctx, http.MethodDelete, "/v1/file", query, nil, nil)
}

// Invite makes an invitation for ttl and for uses machines.
func (c *Client) Invite(ctx context.Context, ttl time.Duration, uses int) (Invite, error) {
	var invite Invite
	err := c.call(ctx, http.MethodPost, "/v1/invites", nil, inviteRequest{TTL: ttl.Seconds(), Uses: uses}, &invite)
	return invite, err
}

// Invites lists the invitations this node has issued.
func (c *Client) Invites(ctx context.Context) (Invites, error) {
	return get[Invites](ctx, c, "/v1/invites", nil)
}

// RevokeInvite makes an invitation worthless.
func (c *Client) RevokeInvite(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/invites", url.Values{"id": {id}}, nil, nil)
}

// Watched asks for the watched folders and what they are up to.
func (c *Client) Watched(ctx context.Context) (Watch, error) {
	return get[Watch](ctx, c, "/v1/watch", nil)
}

// AddWatch has the daemon watch a folder; Dir must be absolute.
func (c *Client) AddWatch(ctx context.Context, folder WatchFolder) (WatchChange, error) {
	var change WatchChange
	err := c.call(ctx, http.MethodPost, "/v1/watch", nil, folder, &change)
	return change, err
}

// RemoveWatch ends the watching of a folder.
func (c *Client) RemoveWatch(ctx context.Context, dir string) (WatchChange, error) {
	var change WatchChange
	err := c.call(ctx, http.MethodDelete, "/v1/watch", url.Values{"dir": {dir}}, nil, &change)
	return change, err
}

// Login asks for a one-time address of the status page.
func (c *Client) Login(ctx context.Context) (Login, error) {
	var login Login
	err := c.call(ctx, http.MethodPost, "/v1/login", nil, nil, &login)
	return login, err
}

// Logout hands every file over and leaves the ring; the daemon then stops.
func (c *Client) Logout(ctx context.Context, timeout time.Duration) (Logout, error) {
	var report Logout
	err := c.call(ctx, http.MethodPost, "/v1/logout", nil, logoutRequest{Timeout: timeout.Seconds()}, &report)
	return report, err
}

// Shutdown asks the daemon to stop and returns before it has.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/shutdown", nil, nil, nil)
}

// List calls yield with every file that o asks for, in no useful order, and
// ends with yield's error if it has one.
func (c *Client) List(ctx context.Context, o node.ListOptions, yield func(File) error) (ListSummary, error) {
	query := url.Values{"prefix": {o.Prefix}, "pattern": {o.Pattern}, "ring": {strconv.FormatBool(o.Ring)}}
	return c.list(ctx, query, func(line listLine) error {
		if line.File == nil {
			return nil
		}
		return yield(*line.File)
	})
}

// Names is List for the names alone of all files on the ring that o asks for.
func (c *Client) Names(ctx context.Context, o node.ListOptions, yield func(name string) error) (ListSummary, error) {
	query := url.Values{"prefix": {o.Prefix}, "pattern": {o.Pattern}, "ring": {"true"}, "names": {"true"}}
	return c.list(ctx, query, func(line listLine) error { return yield(line.Name) })
}

func (c *Client) list(ctx context.Context, query url.Values, yield func(listLine) error) (ListSummary, error) {
	response, err := c.do(ctx, http.MethodGet, "/v1/files", query, nil, nil)
	if err != nil {
		return ListSummary{}, err
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	for {
		var line listLine
		if err := decoder.Decode(&line); err != nil {
			return ListSummary{}, lost(ctx, err)
		}
		switch {
		case line.Summary != nil:
			return *line.Summary, nil
		case line.Error != nil:
			return ListSummary{}, line.Error
		default:
			if err := yield(line); err != nil {
				return ListSummary{}, err
			}
		}
	}
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var doc T
	err := c.call(ctx, http.MethodGet, path, query, nil, &doc)
	return doc, err
}

// call sends in as JSON, unless it is nil, and reads the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	response, err := c.do(ctx, method, path, query, nil, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return lost(ctx, err)
	}
	return nil
}

// do sends one request and returns the answer when it is a good one.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, prepare func(*http.Request), body io.Reader) (*http.Response, error) {
	address := url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return nil, err
	}
	if prepare != nil {
		prepare(request)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, lost(ctx, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	failure := new(Error)
	if err := json.NewDecoder(io.LimitReader(response.Body, maxJSONBody)).Decode(failure); err != nil || failure.ID == "" {
		if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusMethodNotAllowed {
			return nil, fmt.Errorf("%w: %w: %s", ErrInternal, errNoCall, path)
		}
		return nil, fmt.Errorf("%w: the daemon answered %s", ErrInternal, response.Status)
	}
	return nil, failure
}

// errNoCall says that the daemon is older than this client.
var errNoCall = errors.New("the daemon does not know this call")

// isNoAnswer reports whether err says in our words that no daemon has answered.
func isNoAnswer(err error) bool {
	return errors.Is(err, ErrNoDaemon) || errors.Is(err, ErrDaemonGone) || errors.Is(err, ErrSilent)
}

// lost says in our words that there was no answer, or only part of one.
func lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if isNoAnswer(err) {
		return err
	}
	if _, broken := errors.AsType[*net.OpError](err); broken || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDaemonGone // whatever the system calls that
	}
	return fmt.Errorf("%w (%w)", ErrDaemonGone, err)
}
