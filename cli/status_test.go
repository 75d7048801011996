package cli

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

func TestHealth(t *testing.T) {
	tests := []struct {
		status api.Status
		want   string
	}{
		{api.Status{Members: 3, Alive: 3, Ready: true}, "all healthy"},
		{api.Status{Members: 3, Alive: 1, Ready: true}, "2 of 3 nodes do not answer"},
		{api.Status{Members: 3, Alive: 2, Ready: true}, "1 of 3 nodes does not answer"},
		{api.Status{Members: 3, Alive: 3, Ready: true, CopiesMissing: 1}, "1 copy missing"},
		{api.Status{Members: 3, Alive: 1, CopiesMissing: 4, Degraded: "disk"}, "2 of 3 nodes do not answer, 4 copies missing, this node is degraded"},
		{api.Status{Members: 1, Alive: 1}, "health not known yet"},
	}
	for _, test := range tests {
		assert.Equal(t, test.want, health(test.status))
	}
}

func TestNeighbours(t *testing.T) {
	self := api.Peer{Name: "alder", ID: "01", Machine: "a"}
	more := api.Peer{Name: "alder", ID: "02", Machine: "a"}
	birch := api.Peer{Name: "birch", ID: "03", Machine: "b"}
	status := func(alive int, predecessor *api.Peer, successors ...api.Peer) api.Status {
		return api.Status{Machine: "a", Alive: alive, Positions: []api.Position{{Peer: self, Predecessor: predecessor, Successors: successors}}}
	}
	assert.Equal(t, ", alone on the ring", neighbours(status(1, nil)))
	assert.Equal(t, ", alone on the ring", neighbours(status(1, &self, self)), "with itself as its neighbours")
	assert.Equal(t, ", alone on the ring", neighbours(status(1, &more, more)))
	assert.Equal(t, ", successor birch, predecessor birch", neighbours(status(2, &birch, more, birch)))
	assert.Empty(t, neighbours(status(2, nil)), "not found yet")

	assert.True(t, alone(api.Position{Peer: self, Predecessor: &self, Successors: []api.Peer{self}}))
	assert.True(t, alone(api.Position{Peer: self}))
	assert.False(t, alone(api.Position{Peer: self, Predecessor: &more}))
	assert.False(t, alone(api.Position{Peer: self, Successors: []api.Peer{more}}))
}

// serveStatus is a client of a daemon that has nothing but a status.
func serveStatus(t *testing.T, code int, doc any) *api.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, code, doc) }))
	t.Cleanup(server.Close)
	client := api.NewClient(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
	t.Cleanup(client.Close)
	return client
}

func TestWaitingForReadyInVainIsExitOne(t *testing.T) {
	a, _, _ := testApp(false)
	client := serveStatus(t, http.StatusServiceUnavailable, api.Describe(node.ErrNotReady))
	_, err := askStatus(t.Context(), client, statusOptions{wait: "ready", timeout: time.Second})
	require.Error(t, err)
	assert.Equal(t, 1, a.exit(t.Context(), err))
}

func TestNoMoreCopiesArePromisedThanThereAreNodes(t *testing.T) {
	for _, test := range []struct {
		members int
		want    string
	}{
		{3, "the ring has 3 nodes"},
		{4, "as soon as nodes answer"},
	} {
		a, _, _ := testApp(false)
		s := &storer{app: a, client: serveStatus(t, http.StatusOK, api.Status{Members: test.members}), options: storeOptions{replicas: 4}}
		failure := a.describe(t.Context(), s.explain(t.Context(), node.ErrTooFew))
		assert.Equal(t, api.ExitTooFew, failure.Code)
		assert.Contains(t, failure.Hint, test.want)
	}
}
