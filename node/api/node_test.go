package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// newNode is a node with a ring of its own, kept in memory; it does not run yet.
func newNode(t *testing.T) (*node.Node, net.Listener) {
	membership, err := node.Found("", node.RingOptions{Name: "otter", Label: "alder"})
	require.NoError(t, err)
	ring, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n, err := node.New(node.Config{
		Membership: membership, Listener: ring, Advertise: []string{ring.Addr().String()}, Version: "v1",
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return n, ring
}

// startNode runs a ring of one and serves its API on a socket.
func startNode(t *testing.T) (*Handler, *Client, <-chan struct{}) {
	n, _ := newNode(t)
	stopped := make(chan struct{})
	h := New(Config{Node: n, Token: "secret", Origin: "http://127.0.0.1:1", Stop: func() { close(stopped) }})

	ctx, cancel := context.WithCancel(context.Background())
	path := filepath.Join(t.TempDir(), "daemon.sock")
	socket, err := ListenSocket(path)
	require.NoError(t, err)
	done := make(chan error, 2)
	go func() { done <- n.Run(ctx) }()
	go func() { done <- Serve(ctx, socket, h.Local(), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, errors.Join(<-done, <-done))
	})
	client := NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
	t.Cleanup(client.Close)
	_, err = client.WaitReady(t.Context(), time.Minute)
	require.NoError(t, err)
	return h, client, stopped
}

func TestEveryCallOnANode(t *testing.T) {
	_, client, stopped := startNode(t)
	ctx := t.Context()
	content := strings.Repeat("content ", 1<<18)

	stored, err := client.Store(ctx, "a/b ü", strings.NewReader(content), node.StoreOptions{Mode: 0o600, Modified: time.Unix(1e9, 0)})
	require.NoError(t, err)
	assert.Equal(t, "stored", stored.Action)
	assert.EqualValues(t, len(content), stored.File.Size)
	require.Len(t, stored.Nodes, 1)
	assert.Equal(t, "alder", stored.Nodes[0].Name)

	_, err = client.Store(ctx, "a/b ü", strings.NewReader("other"), node.StoreOptions{})
	require.ErrorIs(t, err, node.ErrExists)
	existing := Describe(err).Existing
	require.NotNil(t, existing)
	assert.Equal(t, stored.File.SHA256, existing.SHA256)
	assert.Equal(t, "alder", existing.Publisher)

	stat, err := client.Stat(ctx, "a/b ü")
	require.NoError(t, err)
	assert.Equal(t, chord.KeyOf("a/b ü").String(), stat.Key)
	assert.Equal(t, "0600", stat.Mode)
	assert.EqualValues(t, 1e9, stat.Modified.Unix())
	assert.True(t, stat.Confirmed)
	require.Len(t, stat.Holders, 1)

	fetched, err := client.Fetch(ctx, "a/b ü", node.FetchOptions{Offset: 8, Length: 7})
	require.NoError(t, err)
	part, err := io.ReadAll(fetched)
	require.NoError(t, err)
	assert.Equal(t, "content", string(part))
	assert.Equal(t, []string{"alder"}, fetched.From())
	require.NoError(t, fetched.Close())
	_, err = client.Fetch(ctx, "a/b ü", node.FetchOptions{Offset: 1 << 40})
	assert.Equal(t, ExitUsage, Describe(err).Code)

	var names []string
	summary, err := client.List(ctx, node.ListOptions{Ring: true, Prefix: "a/"}, func(f File) error {
		names = append(names, f.Name)
		return nil
	})
	require.NoError(t, err)
	assert.True(t, summary.Complete)
	assert.Equal(t, []string{"a/b ü"}, names)
	names = nil
	summary, err = client.Names(ctx, node.ListOptions{Pattern: "a/*"}, func(name string) error { names = append(names, name); return nil })
	require.NoError(t, err)
	assert.True(t, summary.Complete)
	assert.Equal(t, []string{"a/b ü"}, names)

	located, err := client.LocateName(ctx, "a/b ü")
	require.NoError(t, err)
	assert.Equal(t, "alder", located.Owner.Name)
	byKey, err := client.LocateKey(ctx, located.Key)
	require.NoError(t, err)
	assert.Equal(t, located.Owner.ID, byKey.Owner.ID)
	_, err = client.LocateKey(ctx, "xyz")
	assert.Equal(t, ExitUsage, Describe(err).Code)

	status, err := client.Status(ctx)
	require.NoError(t, err)
	assert.Equal(t, "otter", status.Ring)
	assert.Equal(t, 1, status.Files)
	nodes, err := client.Nodes(ctx)
	require.NoError(t, err)
	require.Len(t, nodes.Nodes, 1)
	assert.True(t, nodes.Nodes[0].Self)
	ring, err := client.Ring(ctx)
	require.NoError(t, err)
	require.Len(t, ring.Positions, 1)
	fingers, err := client.Fingers(ctx)
	require.NoError(t, err)
	assert.Len(t, fingers.Positions, 1)

	invite, err := client.Invite(ctx, time.Hour, 2)
	require.NoError(t, err)
	assert.NotEmpty(t, invite.Token)
	invites, err := client.Invites(ctx)
	require.NoError(t, err)
	require.Len(t, invites.Invites, 1)
	require.NoError(t, client.RevokeInvite(ctx, invite.ID))
	err = client.RevokeInvite(ctx, "zzz")
	require.ErrorIs(t, err, ErrNoInvite)
	assert.Equal(t, ExitNotFound, Describe(err).Code)
	_, err = client.Invite(ctx, 0, 1)
	assert.Equal(t, ExitUsage, Describe(err).Code)
	login, err := client.Login(ctx)
	require.NoError(t, err)
	assert.Contains(t, login.URL, "http://127.0.0.1:1/login?ticket=")

	require.NoError(t, client.Delete(ctx, "a/b ü", node.NewOp(), stat.Changes))
	_, err = client.Stat(ctx, "a/b ü")
	require.ErrorIs(t, err, node.ErrNotFound)
	_, err = client.Stat(ctx, "../x")
	require.ErrorIs(t, err, filestore.ErrBadName)

	require.NoError(t, client.Shutdown(ctx))
	<-stopped
}

// Waiting in vain is no failure of the ring: scripts tell it by exit code 1.
func TestWaitingInVainIsAnErrorOfItsOwn(t *testing.T) {
	n, ring := newNode(t)
	defer func() { _ = ring.Close() }()
	w := ask(New(Config{Node: n}).Local(), "GET", "/v1/status?wait=ready&timeout=1ms", nil)
	var failure Error
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &failure))
	require.ErrorIs(t, &failure, node.ErrNotReady)
	assert.Equal(t, ExitError, failure.Code)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
}

func TestBrowserPort(t *testing.T) {
	h, _, _ := startNode(t)
	browser := h.Browser()
	assert.Equal(t, 200, ask(browser, "GET", "/healthz", nil).Code)
	assert.Equal(t, 200, ask(browser, "GET", "/style.css", nil).Code)
	assert.Equal(t, 401, ask(browser, "GET", "/v1/status", nil).Code)
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") }
	assert.Equal(t, 200, ask(browser, "GET", "/v1/status", bearer).Code)
	page := ask(browser, "GET", "/", bearer)
	assert.Equal(t, 200, page.Code)
	assert.Contains(t, page.Body.String(), "<h1>otter</h1>")
	assert.NotContains(t, page.Body.String(), "<script")
	for _, call := range []string{"/v1/shutdown", "/v1/logout", "/v1/login"} {
		assert.Equal(t, http.StatusMethodNotAllowed, ask(browser, "GET", call, bearer).Code, call)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	h, _, _ := startNode(t)
	r := httptest.NewRequest("POST", "/v1/invites", strings.NewReader(`{"ttl_seconds":1`+strings.Repeat(" ", maxJSONBody)+`}`))
	w := httptest.NewRecorder()
	h.Local().ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
}
