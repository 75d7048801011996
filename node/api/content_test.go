package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// clientOf returns a client of a server that runs handler.
func clientOf(t *testing.T, handler http.HandlerFunc) *Client {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
	t.Cleanup(client.Close)
	return client
}

// writerTo is content that ends with an error, or well if that is nil.
type writerTo struct {
	content string
	err     error
}

func (c writerTo) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.content)
	return int64(n), errors.Join(err, c.err)
}

// sending serves content as a file of the given size.
func sending(name string, size int64, content writerTo) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = send(w, r, File{Name: name, Size: size}, size, content, func() []string { return []string{"birch"} })
	}
}

func TestFetchDeliversRecordContentAndSource(t *testing.T) {
	name := "Übersicht \x7f 😀\n"
	client := clientOf(t, sending(name, 5, writerTo{content: "hello"}))
	content, err := client.Fetch(t.Context(), name, node.FetchOptions{})
	require.NoError(t, err)
	defer func() { _ = content.Close() }()
	assert.Equal(t, name, content.File.Name)
	all, err := io.ReadAll(content)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(all))
	assert.Equal(t, []string{"birch"}, content.From())
}

func TestFetchThatBreaksOffIsAnError(t *testing.T) {
	tests := map[string]struct {
		content writerTo
		want    error
	}{
		"the node's error": {writerTo{"hel", filestore.ErrCorrupt}, ErrIntegrity},
		"short":            {writerTo{"hel", nil}, node.ErrInterrupted},
		"empty":            {writerTo{"", node.ErrUnavailable}, node.ErrUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, sending("f", 5, test.content))
			content, err := client.Fetch(t.Context(), "f", node.FetchOptions{})
			require.NoError(t, err)
			defer func() { _ = content.Close() }()
			all, err := io.ReadAll(content)
			require.ErrorIs(t, err, test.want)
			assert.Equal(t, test.content.content, string(all))
		})
	}
}

// A client that reads no trailers must notice, too.
func TestFetchThatBreaksOffBreaksTheConnection(t *testing.T) {
	const size = 1 << 20
	server := httptest.NewServer(sending("f", size, writerTo{strings.Repeat("x", size/2), filestore.ErrCorrupt}))
	defer server.Close()
	response, err := http.Get(server.URL)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	assert.EqualValues(t, size, response.ContentLength)
	_, err = io.ReadAll(response.Body)
	require.Error(t, err)
}

// endless is content without end that knows whether it was read.
type endless struct{ read bool }

func (e *endless) Read(p []byte) (int, error) {
	e.read = true
	return len(p), nil
}

func TestStoreRefusedBeforeContentSendsNone(t *testing.T) {
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		_ = receive(w, r, func(io.Reader) (any, error) { return nil, node.ErrExists })
	})
	content := &endless{}
	_, err := client.Store(t.Context(), "f", content, node.StoreOptions{})
	require.ErrorIs(t, err, node.ErrExists)
	assert.False(t, content.read)
}

func TestStoreRefusedInMidStreamGetsTheReason(t *testing.T) {
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		_ = receive(w, r, func(body io.Reader) (any, error) {
			_, err := io.CopyN(io.Discard, body, 3<<20)
			return nil, errors.Join(err, filestore.ErrNoSpace)
		})
	})
	for range 20 {
		_, err := client.Store(t.Context(), "f", &endless{}, node.StoreOptions{})
		require.ErrorIs(t, err, filestore.ErrNoSpace)
	}
}

func TestStoreSendsAllAndItsOptions(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		p := paramsOf(r)
		_ = receive(w, r, func(body io.Reader) (any, error) {
			got, err := io.ReadAll(body)
			if err != nil || string(got) != content || p.name() != "a/b&c ü" || p.octal("mode") != 0o640 ||
				p.op("op") != (filestore.OpID{1}) || p.uint64("base") != 7 || p.err != nil {
				return nil, ErrUsage
			}
			return Stored{Action: "stored", File: File{Size: r.ContentLength}}, nil
		})
	})
	stored, err := client.Store(t.Context(), "a/b&c ü", strings.NewReader(content), node.StoreOptions{
		Op: filestore.OpID{1}, Base: 7, Size: int64(len(content)), Mode: 0o640,
	})
	require.NoError(t, err)
	assert.Equal(t, "stored", stored.Action)
	assert.EqualValues(t, len(content), stored.File.Size)
}

func TestStoreReportsAnUnreadableSource(t *testing.T) {
	seen := make(chan error, 1)
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		_ = receive(w, r, func(body io.Reader) (any, error) {
			_, err := io.ReadAll(body)
			seen <- err
			return nil, node.ErrInterrupted
		})
	})
	broken := errors.New("disk on fire")
	_, err := client.Store(t.Context(), "f", io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), failing{broken}), node.StoreOptions{Size: 2 << 20})
	var source *SourceError
	require.ErrorAs(t, err, &source)
	require.ErrorIs(t, err, broken)
	require.Error(t, <-seen, "the node must not take a part for the whole")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestListEndsWithASummaryOrAnError(t *testing.T) {
	ended := error(nil)
	cut := false
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		var out bytes.Buffer
		sendLines(&out, func(yield func(listLine) error) (ListSummary, error) {
			for _, name := range []string{"a", "<b>"} {
				if err := yield(listLine{File: &File{Name: name}}); err != nil {
					return ListSummary{}, err
				}
			}
			return ListSummary{Complete: true, Nodes: NodesAsked{3, 3}}, ended
		})
		text := out.Bytes()
		if cut {
			text = text[:bytes.IndexByte(text, '\n')+1]
		}
		_, _ = w.Write(text)
	})
	var names []string
	collect := func(f File) error { names = append(names, f.Name); return nil }

	summary, err := client.List(t.Context(), node.ListOptions{}, collect)
	require.NoError(t, err)
	assert.True(t, summary.Complete)
	assert.Equal(t, []string{"a", "<b>"}, names)

	ended = node.ErrUnavailable
	_, err = client.List(t.Context(), node.ListOptions{}, collect)
	require.ErrorIs(t, err, node.ErrUnavailable)

	cut = true
	_, err = client.List(t.Context(), node.ListOptions{}, collect)
	require.ErrorIs(t, err, ErrDaemonGone)

	enough := errors.New("enough")
	_, err = client.List(t.Context(), node.ListOptions{}, func(File) error { return enough })
	require.ErrorIs(t, err, enough)
}

func TestClientSaysThatNobodyIsThere(t *testing.T) {
	client := NewClient(func(context.Context) (net.Conn, error) { return nil, errors.New("no such file") })
	_, err := client.Status(t.Context())
	require.ErrorIs(t, err, ErrNoDaemon)
	assert.Equal(t, ExitNoDaemon, Describe(err).Code)

	gone := clientOf(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err = gone.Status(t.Context())
	require.ErrorIs(t, err, ErrDaemonGone)

	cause := errors.New("signal")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, err = gone.Status(ctx)
	require.ErrorIs(t, err, cause)
}
