//go:build unix

package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// hasher is a SHA-256 that reads.
type hasher struct{ hash.Hash }

func newHash() hasher { return hasher{sha256.New()} }

// ReadFrom implements io.ReaderFrom.
func (h hasher) ReadFrom(r io.Reader) (int64, error) { return io.Copy(h.Hash, r) }

func (h hasher) sum() string { return hex.EncodeToString(h.Sum(nil)) }

// drop is a folder that a node watches, and all that its files ever were.
type drop struct {
	t        *testing.T
	ring     *proctest.Ring
	node     *proctest.Node // that watches
	dir      string
	prefix   string
	witness  *witness
	complete map[string]map[string]bool // by name, the SHA-256 of each complete state
}

// newDrop has the ring's first node watch a folder, whose removals count.
func newDrop(t *testing.T, ring *proctest.Ring, w *witness, dir, prefix string) *drop {
	t.Helper()
	d := &drop{t: t, ring: ring, node: ring.Nodes[0], dir: dir, prefix: prefix, witness: w, complete: map[string]map[string]bool{}}
	d.node.Run(t, "watch", "add", dir, "--prefix", prefix, "--on-delete", "remove").OK(t)
	return d
}

func (d *drop) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// is notes a state that a file is going to have when it is complete.
func (d *drop) is(name, sum string) {
	name = d.prefix + name
	if d.complete[name] == nil {
		d.complete[name] = map[string]bool{}
	}
	d.complete[name][sum] = true
}

// die kills the daemon of the node that watches and starts it again.
func (d *drop) die() {
	d.t.Helper()
	d.node.Kill(d.t)
	d.node.Run(d.t, "up").OK(d.t)
}

// watched is what watch status tells of a folder.
type watched struct {
	Dir                               string
	State                             string
	Files, Published, Waiting, Failed int
	FilesRead                         int64 `json:"files_read"`
	Faults                            []struct{ Kind, Path, Reason, Hint string }
}

// status is what the daemon says of the folder.
func (d *drop) status() (f watched) {
	d.t.Helper()
	var doc struct{ Folders []watched }
	d.node.Run(d.t, "watch", "status", "--json").OK(d.t).JSON(d.t, &doc)
	for _, f = range doc.Folders {
		if filepath.Base(f.Dir) == filepath.Base(d.dir) {
			return f
		}
	}
	require.Fail(d.t, "the folder is not watched", "%+v", doc)
	return f
}

// mirrored waits until the ring has exactly what the folder has, and expects
// that it never had anything that was not complete.
func (d *drop) mirrored(ignored ...string) {
	d.t.Helper()
	want := shelf{}
	require.NoError(d.t, filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		for _, name := range ignored {
			if err == nil && e.IsDir() && e.Name() == name {
				return filepath.SkipDir
			}
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(d.dir, path)
		want[d.prefix+filepath.ToSlash(name)] = hashOfFile(d.t, path)
		d.is(filepath.ToSlash(name), want[d.prefix+filepath.ToSlash(name)])
		return err
	}))
	at := d.ring.Nodes[1]
	proctest.Eventually(d.t, 4*time.Minute, func() error {
		if now := d.status(); now.Waiting > 0 || now.Published != len(want) {
			return fmt.Errorf("not done: %+v", now)
		}
		if got := listed(d.t, at, d.prefix); !maps.Equal(got, want) {
			return fmt.Errorf("the ring has %d files, the folder %d, different: %.300v", len(got), len(want), difference(got, want))
		}
		return nil
	})
	if len(want) > 0 {
		want.check(d.t, at)
	}
	d.witness.testify(d.t, d.prefix, d.complete)
}

// listed is what the ring has below a prefix.
func listed(t *testing.T, at *proctest.Node, prefix string) shelf {
	t.Helper()
	var doc struct {
		Files []struct{ Name, SHA256 string }
	}
	result := at.Run(t, "ls", "--ring", "--json", prefix).OK(t)
	require.NoError(t, json.Unmarshal(result.Stdout, &doc), "%s", result)
	got := shelf{}
	for _, f := range doc.Files {
		got[f.Name] = f.SHA256
	}
	return got
}

func difference(a, b shelf) (names []string) {
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

// long picks what a test does in its long form.
func long[T any](short, long T) T {
	if proctest.Long() {
		return long
	}
	return short
}

// TestWatchedFolder does to watched folders what programs do, kills the daemon in
// the middle each time, and expects the ring to have what the folder has in the
// end, and never to have had half of anything.
func TestWatchedFolder(t *testing.T) {
	t.Parallel()
	watchedFolders(t, map[string]func(t *testing.T, d *drop){
		"saves": saves,
		"tar":   unpack,
		"clone": gitClone,
		"many":  restart,
	})
}

// TestWatchedFolderMoves is the same for files that move, and such as come slowly
// or are cut off.
func TestWatchedFolderMoves(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring, w := watchedFolders(t, map[string]func(t *testing.T, d *drop){
		"copy":    slowCopy,
		"renames": renames,
		"moves":   moves,
	})
	t.Run("a disk that fills up", func(t *testing.T) { fills(t, ring, w) })
}

// watchedFolders makes a ring with a folder for each of some ways to treat one,
// one after the other.
func watchedFolders(t *testing.T, ways map[string]func(t *testing.T, d *drop)) (*proctest.Ring, *witness) {
	t.Helper()
	ring := proctest.NewRing(t, 3)
	w := watchRing(t, ring.Nodes[2])
	dir := t.TempDir()
	for name, treat := range ways {
		t.Run(name, func(t *testing.T) {
			d := newDrop(t, ring, w, makeDir(t, dir, name), name+"/")
			treat(t, d)
			d.node.Run(t, "watch", "rm", d.dir).OK(t)
		})
	}
	return ring, w
}

// restart kills a daemon that has published all: it reads nothing again.
func restart(t *testing.T, d *drop) {
	count := long(100, 10000)
	for i := range count {
		writeFile(t, d.path(fmt.Sprintf("%d/%d", i%50, i)), 100+int64(i%50))
	}
	d.mirrored()
	d.die()
	proctest.Eventually(t, time.Minute, func() error {
		if now := d.status(); now.Published != count {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
	assert.Zero(t, d.status().FilesRead)
	if proctest.Long() {
		idle(t, d.node, time.Minute)
	}
}

func makeDir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	return dir
}

// saves saves files as editors do.
func saves(t *testing.T, d *drop) {
	content := func(kind string, round int) []byte {
		return []byte(strings.Repeat(fmt.Sprintf("%s, version %d\n", kind, round), 2000+round))
	}
	sum := func(b []byte) string { return hashOf(t, strings.NewReader(string(b))) }
	kinds := map[string]func(path string, b []byte) error{
		"in place":  func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) },
		"beside":    func(path string, b []byte) error { return beside(path, b) },
		"truncated": truncated,
	}
	for round := range long(2, 8) {
		for kind, save := range kinds {
			b := content(kind, round)
			d.is(kind, sum(b))
			require.NoError(t, save(d.path(kind), b))
		}
		if round%2 == 1 {
			d.die()
		}
		d.mirrored()
	}
}

// beside writes a new file and renames it over the old one.
func beside(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// truncated empties a file, takes its time, and writes it anew.
func truncated(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond) // a slow program
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// slowCopy copies a file at 20 MB/s, with a pause that is longer than a file
// must be still to count as complete.
func slowCopy(t *testing.T, d *drop) {
	size := long[int64](24<<20, 1<<30)
	const rate = 20e6
	d.is("big", hashOf(t, noise("big", size)))
	f, err := os.Create(d.path("big"))
	require.NoError(t, err)
	from, begun, paused := noise("big", size), time.Now(), time.Duration(0)
	for done := int64(0); done < size; {
		n, err := io.CopyN(f, from, min(1<<20, size-done))
		require.NoError(t, err)
		done += n
		time.Sleep(time.Until(begun.Add(paused + time.Duration(float64(done)/rate*float64(time.Second))))) // the rate
		if paused == 0 && done >= size/2 && runtime.GOOS == "linux" {
			const pause = 5 * time.Second
			time.Sleep(pause) // long enough to look complete
			paused = pause
			d.die()
		}
	}
	require.NoError(t, f.Close())
	closed := time.Now()
	d.mirrored()
	t.Logf("a file of %d MiB was on the ring within %v of its completion", size>>20, time.Since(closed))
}

// manyFiles makes an archive of n small files in a tree.
func manyFiles(t *testing.T, archive string, n int) {
	f, err := os.Create(archive)
	require.NoError(t, err)
	w := tar.NewWriter(f)
	for i := range n {
		size := int64(i * 37 % 20000)
		require.NoError(t, w.WriteHeader(&tar.Header{
			Name: fmt.Sprintf("tree/%d/%d/file %d", i%7, i%31, i), Size: size, Mode: 0o600, ModTime: time.Unix(int64(1e9+i), 0),
		}))
		_, err := io.Copy(w, noise(fmt.Sprint(i), size))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
}

// unpack runs tar x.
func unpack(t *testing.T, d *drop) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("there is no tar")
	}
	archive := filepath.Join(t.TempDir(), "archive.tar")
	manyFiles(t, archive, long(120, 5000))
	cmd := exec.CommandContext(t.Context(), "tar", "xf", archive, "-C", d.dir)
	require.NoError(t, cmd.Start())
	d.die()
	require.NoError(t, cmd.Wait())
	begun := time.Now()
	proctest.Eventually(t, time.Minute, func() error {
		if d.status().Published == 0 {
			return fmt.Errorf("nothing is published yet")
		}
		return nil
	})
	d.die() // in the middle of publishing
	d.mirrored()
	t.Logf("all was on the ring %v after tar had ended", time.Since(begun))
}

// gitClone clones a repository.
func gitClone(t *testing.T, d *drop) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	git := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	from := t.TempDir()
	for i := range long(30, 1000) {
		writeFile(t, filepath.Join(from, fmt.Sprintf("dir%d/sub%d/file%d", i%5, i%11, i)), int64(i*53%5000))
	}
	require.NoError(t, git("init", "-q", from).Run())
	require.NoError(t, git("-C", from, "add", "-A").Run())
	require.NoError(t, git("-C", from, "commit", "-q", "-m", "files").Run())
	clone := git("clone", "-q", from, d.path("clone"))
	require.NoError(t, clone.Start())
	d.die()
	require.NoError(t, clone.Wait())
	d.mirrored(".git")
}

// renames renames files, some of them to and fro.
func renames(t *testing.T, d *drop) {
	count := long(40, 1000)
	for i := range count {
		writeFile(t, d.path(fmt.Sprintf("old/%d", i)), 100+int64(i))
		d.is(fmt.Sprintf("old/%d", i), hashOfFile(t, d.path(fmt.Sprintf("old/%d", i))))
	}
	d.mirrored()
	makeDir(t, d.path("new"))
	for i := range count {
		require.NoError(t, os.Rename(d.path(fmt.Sprintf("old/%d", i)), d.path(fmt.Sprintf("new/%d", i))))
		if i == count/2 {
			d.die()
		}
	}
	require.NoError(t, os.Rename(d.path("new"), d.path("newer")))
	d.mirrored()
	writeFile(t, d.path("newer/after/all"), 10)
	d.mirrored()
}

// moves moves trees into the folder, inside and out of it.
func moves(t *testing.T, d *drop) {
	outside := makeDir(t, filepath.Dir(d.dir), "outside "+filepath.Base(d.dir))
	for i := range long(30, 1000) {
		writeFile(t, filepath.Join(outside, fmt.Sprintf("tree/%d/%d", i%9, i)), int64(i*71%3000))
	}
	require.NoError(t, os.Rename(filepath.Join(outside, "tree"), d.path("tree")))
	d.die()
	d.mirrored()
	require.NoError(t, os.Rename(d.path("tree/3"), filepath.Join(outside, "3")))
	require.NoError(t, os.Rename(d.path("tree/4"), d.path("four")))
	d.mirrored()
	require.NoError(t, os.Rename(d.path("tree"), filepath.Join(outside, "tree")))
	d.die()
	d.mirrored()
	require.NoError(t, os.Rename(filepath.Join(outside, "3"), d.path("four/3")))
	writeFile(t, filepath.Join(outside, "tree", "nobody sees this"), 10)
	d.mirrored()
}

// fills fills a small disk: what does not fit is cut off, and what the program
// makes of that is what is published.
func fills(t *testing.T, ring *proctest.Ring, w *witness) {
	dir := makeDir(t, t.TempDir(), "small")
	mount := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: a tmpfs cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() }) //nolint:noctx,usetesting // after the test
	d := newDrop(t, ring, w, dir, "small/")
	writeFile(t, d.path("first"), 3<<20)
	d.mirrored()
	f, err := os.Create(d.path("too big"))
	require.NoError(t, err)
	_, err = io.Copy(f, noise("too big", 9<<20))
	require.Error(t, err, "it fits")
	time.Sleep(3 * time.Second) // it looks complete, and is open
	d.die()
	require.NoError(t, os.Remove(f.Name()))
	require.NoError(t, f.Close())
	d.mirrored()
	writeFile(t, d.path("second"), 4<<20)
	d.mirrored()
	for round := range long(0, 4) { // again and again, to the last byte
		for i := 0; ; i++ {
			name := fmt.Sprintf("%d/%d", round, i)
			makeDir(t, d.path("."), fmt.Sprint(round))
			f, err := os.Create(d.path(name))
			if err == nil {
				_, err = io.Copy(f, noise(name, 100<<10))
				require.NoError(t, f.Close())
				d.is(name, hashOfFile(t, d.path(name)))
			}
			if err != nil {
				break // what there is of it is a file all the same
			}
			if i == 10*round {
				d.die()
			}
		}
		d.mirrored()
		require.NoError(t, os.RemoveAll(d.path(fmt.Sprint(round))))
		d.die()
		d.mirrored()
	}
	d.node.Run(t, "watch", "rm", d.dir).OK(t)
}

// idle measures what a daemon that has nothing to do costs.
func idle(t *testing.T, n *proctest.Node, during time.Duration) {
	t.Helper()
	ticks := func() (total float64) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Daemon(t).PID))
		require.NoError(t, err)
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		for _, f := range fields[11:13] {
			var x float64
			_, err := fmt.Sscan(f, &x)
			require.NoError(t, err)
			total += x
		}
		return total
	}
	before := ticks()
	time.Sleep(during)
	const hertz = 100
	t.Logf("the idle daemon took %.2f %% of a core", (ticks()-before)/hertz/during.Seconds()*100)
}
