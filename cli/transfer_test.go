package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// fakeDaemon serves one file's content and takes stores, with mishaps.
type fakeDaemon struct {
	content []byte
	mode    string                // of the file; empty: 0640
	breakAt func(attempt int) int // how many bytes an attempt delivers; less than zero: all
	refuse  func(attempt int) *api.Error
	unread  bool   // a store is refused before its content is read
	sha256  string // of the record, when it is not the content's

	// many answers for one of many files that are stored in one call, attempt times
	// before; nil: there is no such call. looked does for one of many that are asked about.
	many   func(name string, attempt int) *api.Error
	looked func(name string, attempt int) *api.Error

	fetches atomic.Int32
	stores  atomic.Int32

	mu      sync.Mutex
	offsets []string
	stored  []byte
	ops     []string            // of files that came alone, with their bases
	manyOps map[string][]string // of those that came together, by name
	looks   map[string]int      // how often was asked about a name with others
}

func (d *fakeDaemon) client(t *testing.T) *api.Client {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/content", d.serveContent)
	mux.HandleFunc("PUT /v1/file", d.takeFile)
	mux.HandleFunc("GET /v1/file", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, api.Error{Code: 4, ID: "not_found", Message: "not found", Changes: 5})
	})
	if d.many != nil {
		mux.HandleFunc("POST /v1/look", d.look)
		mux.HandleFunc("POST /v1/contents/store", d.takeMany)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client := api.NewClient(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
	t.Cleanup(client.Close)
	return client
}

func answer(w http.ResponseWriter, status int, doc any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

func (d *fakeDaemon) serveContent(w http.ResponseWriter, r *http.Request) {
	attempt := int(d.fetches.Add(1)) - 1
	d.mu.Lock()
	d.offsets = append(d.offsets, r.URL.Query().Get("offset"))
	d.mu.Unlock()
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	sum := sha256.Sum256(d.content)
	file := api.File{Name: "f", Size: int64(len(d.content)), SHA256: hex.EncodeToString(sum[:]), Mode: cmp.Or(d.mode, "0640"), Confirmed: true,
		Modified: time.Unix(1_000_000_000, 0).UTC()}
	if d.sha256 != "" {
		file.SHA256 = d.sha256
	}
	header, _ := json.Marshal(file)
	w.Header().Set("Dhtfs-File", string(header))
	rest := d.content[offset:]
	w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	if n := d.breakAt(attempt); n >= 0 {
		_, _ = w.Write(rest[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(rest)
}

func (d *fakeDaemon) takeFile(w http.ResponseWriter, r *http.Request) {
	attempt := int(d.stores.Add(1)) - 1
	d.mu.Lock()
	d.ops = append(d.ops, r.URL.Query().Get("op")+" "+r.URL.Query().Get("base"))
	d.mu.Unlock()
	if failure := d.refuse(attempt); d.unread && failure != nil {
		answer(w, http.StatusServiceUnavailable, failure)
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if failure := d.refuse(attempt); failure != nil {
		answer(w, http.StatusServiceUnavailable, failure)
		return
	}
	d.mu.Lock()
	d.stored = content
	d.mu.Unlock()
	answer(w, http.StatusOK, api.Stored{Action: "stored", Copies: 1, Want: 1})
}

func (d *fakeDaemon) look(w http.ResponseWriter, r *http.Request) {
	var request struct{ Names []string }
	_ = json.NewDecoder(r.Body).Decode(&request)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looks == nil {
		d.looks = map[string]int{}
	}
	looked := make([]api.Looked, len(request.Names))
	for i, name := range request.Names {
		looked[i] = api.Looked{Free: true, Changes: 5}
		if d.looked != nil {
			if failure := d.looked(name, d.looks[name]); failure != nil {
				looked[i] = api.Looked{Error: failure}
			}
		}
		d.looks[name]++
	}
	answer(w, http.StatusOK, map[string]any{"names": looked})
}

func (d *fakeDaemon) takeMany(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.manyOps == nil {
		d.manyOps = map[string][]string{}
	}
	items := []api.StoredBriefly{}
	in := bufio.NewReader(r.Body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		var put struct {
			Name, Op string
			Base     uint64
			Size     int
		}
		_ = json.Unmarshal([]byte(line), &put)
		_, _ = in.Discard(put.Size)
		item := api.StoredBriefly{Action: "stored", Copies: 1, Want: 1}
		if failure := d.many(put.Name, len(d.manyOps[put.Name])); failure != nil {
			item = api.StoredBriefly{Error: failure}
		}
		d.manyOps[put.Name] = append(d.manyOps[put.Name], fmt.Sprint(put.Op, " ", put.Base))
		items = append(items, item)
	}
	answer(w, http.StatusOK, map[string]any{"items": items})
}

func testFetcher(t *testing.T, d *fakeDaemon, dir string) *fetcher {
	a, _, _ := testApp(false)
	target, err := openTarget(t.Context(), dir, true)
	require.NoError(t, err)
	t.Cleanup(target.close)
	progress := a.newProgress("fetching", -1)
	t.Cleanup(progress.end)
	return &fetcher{
		app: a, client: d.client(t), target: target, progress: progress, report: newReport(a, "fetched", 1),
		options: fetchOptions{conflict: "fail", jobs: 1, retry: time.Minute},
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}

// A fetch of a part does not touch what one of the whole has so far.
func TestAPartIsNotTheWhole(t *testing.T) {
	d := &fakeDaemon{content: randomBytes(1 << 20), breakAt: func(int) int { return -1 }}
	dir := t.TempDir()
	f := testFetcher(t, d, dir)
	f.options.offset = 1000
	sum := sha256.Sum256(d.content)
	whole := filepath.Join(dir, partOf("f", hex.EncodeToString(sum[:])))
	require.NoError(t, os.WriteFile(whole, d.content[:5000], 0o600))
	_, err := f.toFile(t.Context(), "f")
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	assert.Equal(t, d.content[1000:], got)
	kept, err := os.ReadFile(whole)
	require.NoError(t, err)
	assert.Equal(t, d.content[:5000], kept)
}

// Several commands that fetch a file to one place at once all end well, and with all of
// it at its place; none of them writes in a file that another has finished.
func TestFetchesOfOneFileToOnePlace(t *testing.T) {
	const fetches = 6
	for _, conflict := range []string{"fail", "overwrite"} {
		d := &fakeDaemon{content: randomBytes(3 << 20), breakAt: func(int) int { return -1 }, mode: "0664"}
		dir := t.TempDir()
		var g errgroup.Group
		for i := range fetches {
			f := testFetcher(t, d, dir)
			f.options.conflict, f.options.fsync = conflict, true
			g.Go(func() error {
				time.Sleep(time.Duration(i) * 4 * time.Millisecond)
				if _, err := f.toFile(t.Context(), "f"); err != nil {
					return err
				}
				there, err := os.ReadFile(filepath.Join(dir, "f"))
				assert.True(t, bytes.Equal(d.content, there), "%s: %d bytes are there", conflict, len(there))
				return err
			})
		}
		require.NoError(t, g.Wait(), conflict)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "nothing temporary is left")
	}
}

// A temporary file that is finished, and has not got its name yet, is not taken by another
// fetch, whatever its mode.
func TestAFinishedPartIsNobodyElses(t *testing.T) {
	for _, mode := range []os.FileMode{0o664, 0o640, 0o444} {
		dir := t.TempDir()
		first, second := testFetcher(t, &fakeDaemon{}, dir).target, testFetcher(t, &fakeDaemon{}, dir).target
		one, err := first.partFor(t.Context(), "f", "0123456789abcdef", rand.Text())
		require.NoError(t, err)
		_, err = one.WriteString("all of it")
		require.NoError(t, err)
		require.NoError(t, one.Chmod(mode))
		require.NoError(t, one.Close())
		other, err := second.partFor(t.Context(), "f", "0123456789abcdef", rand.Text())
		require.NoError(t, err)
		_, err = other.WriteString("all")
		require.NoError(t, err)
		require.NoError(t, first.publish(one.at, "f", true))
		one.unlock()
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		require.NoError(t, err)
		assert.Equal(t, "all of it", string(got), mode)
		require.NoError(t, other.drop())

		// What is left of one that was killed is taken up.
		require.NoError(t, os.WriteFile(filepath.Join(dir, one.at), []byte("all"), 0o600))
		again, err := second.partFor(t.Context(), "f", "0123456789abcdef", rand.Text())
		require.NoError(t, err)
		assert.Equal(t, one.at, again.at)
		require.NoError(t, again.drop())
	}
}

// While another fetch has the usual temporary file, or something that cannot be removed is
// in its place, this one goes on with its own where the ring breaks off, and leaves none.
func TestAFetchWithAPartOfItsOwn(t *testing.T) {
	for _, way := range []string{"another fetch", "a folder"} {
		d := &fakeDaemon{content: randomBytes(3 << 20), breakAt: func(attempt int) int {
			if attempt < 2 {
				return 1 << 20
			}
			return -1
		}}
		dir := t.TempDir()
		f := testFetcher(t, d, dir)
		sum := sha256.Sum256(d.content)
		usual := partOf("f", hex.EncodeToString(sum[:]))
		if way == "a folder" {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, usual, "in"), 0o700))
		} else {
			held, err := f.target.openPart(t.Context(), usual)
			require.NoError(t, err)
			defer func() { assert.NoError(t, held.drop()) }()
		}
		got, err := f.toFile(t.Context(), "f")
		require.NoError(t, err, way)
		assert.Positive(t, got.resumed, way)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 2, way)

		require.NoError(t, os.Remove(filepath.Join(dir, "f")))
		d.breakAt = func(int) int { return 1 << 19 }
		f.options.retry = 0
		_, err = f.toFile(t.Context(), "f")
		require.Error(t, err)
		entries, err = os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "%s: nothing of its own is left", way)
	}
}

func TestSmallFetchesOfOneFileToOnePlace(t *testing.T) {
	const fetches, files = 4, 200
	content := randomBytes(1000)
	sum := sha256.Sum256(content)
	dir := t.TempDir()
	var g errgroup.Group
	for range fetches {
		f := testFetcher(t, &fakeDaemon{}, dir)
		places := newFolders(f.target)
		t.Cleanup(places.close)
		g.Go(func() error {
			for i := range files {
				name := strconv.Itoa(i)
				file := api.File{Name: name, Size: 1000, SHA256: hex.EncodeToString(sum[:])}
				if _, err := f.keep(places, name, api.Got{File: file, Content: content}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, files, "nothing temporary is left")
	for _, e := range entries {
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		require.Equal(t, content, got)
	}
}

func TestFetchGoesOnWhereItBrokeOff(t *testing.T) {
	const size, broken = 3 << 20, 1 << 20
	d := &fakeDaemon{content: randomBytes(size), breakAt: func(attempt int) int {
		if attempt == 0 {
			return broken
		}
		return -1
	}}
	dir := t.TempDir()
	f := testFetcher(t, d, dir)
	got, err := f.toFile(t.Context(), "f")
	require.NoError(t, err)
	assert.True(t, got.verified)
	assert.Positive(t, got.resumed)
	content, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	assert.Equal(t, d.content, content)
	assert.Equal(t, strconv.FormatInt(got.resumed, 10), d.offsets[len(d.offsets)-1])

	info, err := os.Stat(filepath.Join(dir, "f"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode())
	assert.EqualValues(t, 1_000_000_000, info.ModTime().Unix())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing temporary is left")
}

func TestFetchKeepsItsPartWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	d := &fakeDaemon{content: randomBytes(2 << 20)}
	d.breakAt = func(attempt int) int {
		if attempt == 0 {
			return 1 << 20
		}
		cancel(Interrupted{Signal: os.Interrupt})
		return 0
	}
	dir := t.TempDir()
	_, err := testFetcher(t, d, dir).toFile(ctx, "f")
	require.Error(t, err)
	parts, err := filepath.Glob(filepath.Join(dir, ".f.*.dhtfs-part"))
	require.NoError(t, err)
	require.Len(t, parts, 1)
	assert.NoFileExists(t, filepath.Join(dir, "f"))

	// The next call takes it up, and begins again when it was damaged meanwhile.
	require.NoError(t, os.WriteFile(parts[0], make([]byte, 1<<20), 0o600))
	d.breakAt = func(int) int { return -1 }
	got, err := testFetcher(t, d, dir).toFile(t.Context(), "f")
	require.NoError(t, err)
	assert.Zero(t, got.resumed)
	content, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	assert.Equal(t, d.content, content)
}

func TestFetchRefusesDamage(t *testing.T) {
	d := &fakeDaemon{content: []byte("damaged"), breakAt: func(int) int { return -1 }, sha256: "00ff"}
	dir := t.TempDir()
	_, err := testFetcher(t, d, dir).toFile(t.Context(), "f")
	require.ErrorIs(t, err, api.ErrIntegrity)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestStreamIsWrittenOnceThoughItBreaksOff(t *testing.T) {
	d := &fakeDaemon{content: randomBytes(2 << 20), breakAt: func(attempt int) int {
		if attempt == 0 {
			return 1 << 20
		}
		return -1
	}}
	f := testFetcher(t, d, t.TempDir())
	a, stdout, _ := testApp(false)
	f.app, f.stdout = a, stdout
	_, err := f.toStream(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, d.content, stdout.Bytes())
}

func testStorer(t *testing.T, d *fakeDaemon) *storer {
	a, _, _ := testApp(false)
	progress := a.newProgress("storing", -1)
	t.Cleanup(progress.end)
	return &storer{
		app: a, client: d.client(t), progress: progress, report: newReport(a, "stored", 1),
		options: storeOptions{ifExists: "fail", compress: "auto", retry: time.Minute},
	}
}

func fileUpload(t *testing.T, content string) upload {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	info, err := os.Stat(path)
	require.NoError(t, err)
	return upload{name: "f", path: path, info: info}
}

func TestStoreTriesAgainWithTheSameOperation(t *testing.T) {
	d := &fakeDaemon{refuse: func(attempt int) *api.Error {
		if attempt == 0 {
			return api.Describe(node.ErrUnavailable)
		}
		return nil
	}}
	s := testStorer(t, d)
	stored, err := s.store(t.Context(), fileUpload(t, "hello"), newStoring())
	require.NoError(t, err)
	assert.Equal(t, "stored", stored.Action)
	assert.Equal(t, "hello", string(d.stored))
	require.Len(t, d.ops, 2)
	assert.Equal(t, d.ops[0], d.ops[1])
	assert.Contains(t, d.ops[0], " 5", "with the change counter of before the first attempt")
	assert.EqualValues(t, 5, s.progress.moved.Load(), "what was sent twice counts once")
}

func TestStoreDoesNotTryAgainWhatIsFinal(t *testing.T) {
	for _, final := range []error{node.ErrExists, node.ErrTooFew} {
		d := &fakeDaemon{refuse: func(int) *api.Error { return api.Describe(final) }}
		_, err := testStorer(t, d).store(t.Context(), fileUpload(t, "hello"), newStoring())
		require.ErrorIs(t, err, final)
		assert.Len(t, d.ops, 1)
	}
}

func TestStandardInputIsSentOnce(t *testing.T) {
	d := &fakeDaemon{refuse: func(int) *api.Error { return api.Describe(node.ErrUnavailable) }}
	_, err := testStorer(t, d).store(t.Context(), upload{name: "f"}, newStoring())
	require.ErrorIs(t, err, node.ErrUnavailable)
	assert.Len(t, d.ops, 1)
}

// What has not been read can be sent with another attempt.
func TestStandardInputIsTriedAgainWhileNobodyHasReadIt(t *testing.T) {
	d := &fakeDaemon{unread: true, refuse: func(attempt int) *api.Error {
		if attempt == 0 {
			return api.Describe(node.ErrUnavailable)
		}
		return nil
	}}
	s := testStorer(t, d)
	s.app.stdin = strings.NewReader("hello")
	_, err := s.store(t.Context(), upload{name: "f"}, newStoring())
	require.NoError(t, err)
	assert.Equal(t, "hello", string(d.stored))
	require.Len(t, d.ops, 2)
	assert.Equal(t, d.ops[0], d.ops[1])
}

func TestAGateIsShutBeforeAnythingIsRead(t *testing.T) {
	g := &gate{r: strings.NewReader("hello")}
	require.True(t, g.untouched())
	_, err := g.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrClosedPipe)

	g = &gate{r: strings.NewReader("hello")}
	_, err = g.Read(make([]byte, 1))
	require.NoError(t, err)
	require.False(t, g.untouched())
}

func TestAFileThatChangesIsNotStored(t *testing.T) {
	changes := map[string]func(t *testing.T, path string){
		"grows":   func(t *testing.T, path string) { appendTo(t, path, "more") },
		"shrinks": func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 10)) },
		"touched": func(t *testing.T, path string) {
			require.NoError(t, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			u := fileUpload(t, string(randomBytes(1<<20)))
			file, err := os.Open(u.path)
			require.NoError(t, err)
			defer func() { _ = file.Close() }()
			r, err := api.NewSteadyReader(file, u.info, u.info.Name())
			require.NoError(t, err)
			_, err = io.ReadFull(r, make([]byte, 1000))
			require.NoError(t, err)
			change(t, u.path)
			n, err := io.Copy(io.Discard, r)
			assert.Equal(t, "changed", api.Describe(err).ID)
			assert.Less(t, n+1000, u.info.Size(), "never complete")
		})
	}
}

func TestAFileThatCannotBeReadIsNoFailureOfTheRing(t *testing.T) {
	u := fileUpload(t, "hello")
	require.NoError(t, os.Remove(u.path))
	s := testStorer(t, &fakeDaemon{refuse: func(int) *api.Error { return nil }})
	_, err := s.store(t.Context(), u, newStoring())
	assert.Equal(t, "local_file", api.Describe(err).ID)
}

func appendTo(t *testing.T, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
