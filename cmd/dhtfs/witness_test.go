//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// witness looks at a ring all the time, through one node, and remembers every
// version of every name that it has seen. Each new one it fetches.
type witness struct {
	client *http.Client

	mu       sync.Mutex
	versions map[string]map[string]bool // by name, the SHA-256 of each
	fetched  int
	rounds   int
	wrong    []string
}

// watchRing starts a witness that ends with the test.
func watchRing(t *testing.T, at *proctest.Node) *witness {
	socket := at.Daemon(t).Socket
	w := &witness{versions: map[string]map[string]bool{}, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
			if ctx.Err() != nil {
				tick.Stop()
				return
			}
			w.look(ctx)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		w.client.CloseIdleConnections()
	})
	return w
}

func (w *witness) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return w.client.Do(r)
}

// look lists the ring once.
func (w *witness) look(ctx context.Context) {
	list, err := w.get(ctx, "/v1/files", url.Values{"ring": {"true"}})
	if err != nil {
		return
	}
	defer func() { _ = list.Body.Close() }()
	var news []string
	lines := bufio.NewScanner(list.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			File *struct{ Name, SHA256 string }
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.File != nil && w.note(line.File.Name, line.File.SHA256) {
			news = append(news, line.File.Name)
		}
	}
	w.mu.Lock()
	w.rounds++
	w.mu.Unlock()
	for _, name := range news {
		w.fetch(ctx, name)
	}
}

// note remembers a version; it reports whether it is new.
func (w *witness) note(name, sum string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.versions[name] == nil {
		w.versions[name] = map[string]bool{}
	}
	known := w.versions[name][sum]
	w.versions[name][sum] = true
	return !known
}

// fetch fetches a file and compares it with what the answer says it is.
func (w *witness) fetch(ctx context.Context, name string) {
	answer, err := w.get(ctx, "/v1/content", url.Values{"name": {name}})
	if err != nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	var file struct{ SHA256 string }
	if answer.StatusCode != http.StatusOK || json.Unmarshal([]byte(answer.Header.Get("Dhtfs-File")), &file) != nil {
		return // removed or replaced since
	}
	h := newHash()
	if _, err := h.ReadFrom(answer.Body); err != nil {
		return
	}
	w.note(name, file.SHA256)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetched++
	if got := h.sum(); got != file.SHA256 {
		w.wrong = append(w.wrong, fmt.Sprintf("%q is %s and not %s", name, got, file.SHA256))
	}
}

// testify expects that every version of a name below prefix that was ever seen
// is one of those that the file had when it was complete.
func (w *witness) testify(t *testing.T, prefix string, complete map[string]map[string]bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Empty(t, w.wrong)
	versions := 0
	for name, sums := range w.versions {
		if len(name) < len(prefix) || name[:len(prefix)] != prefix {
			continue
		}
		for sum := range sums {
			versions++
			assert.True(t, complete[name][sum], "%q was published as %s, which it never was", name, sum)
		}
	}
	t.Logf("the witness saw %d versions below %q in %d looks so far, and fetched %d of all", versions, prefix, w.rounds, w.fetched)
}
