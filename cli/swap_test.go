//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A temporary file is gone on with only if nobody else can have a hand in it.
func TestPartsOfOthersAreNotUsed(t *testing.T) {
	for name, plant := range map[string]func(part, victim string) error{
		"nothing":           func(string, string) error { return nil },
		"a link":            func(part, _ string) error { return os.Symlink("victim", part) },
		"a link out":        func(part, _ string) error { return os.Symlink("/etc/passwd", part) },
		"another name":      func(part, victim string) error { return os.Link(victim, part) },
		"a pipe":            func(part, _ string) error { return syscall.Mkfifo(part, 0o600) },
		"one for all":       func(part, _ string) error { return os.WriteFile(part, []byte("bad"), 0o600) },
		"a folder":          func(part, _ string) error { return os.Mkdir(part, 0o700) },
		"an earlier try's":  func(part, _ string) error { return os.WriteFile(part, []byte("good"), 0o600) },
		"a write-protected": func(part, _ string) error { return os.WriteFile(part, []byte("bad"), 0o200) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			part, victim := filepath.Join(dir, "part"), filepath.Join(dir, "victim")
			require.NoError(t, os.WriteFile(victim, []byte("victim"), 0o600))
			require.NoError(t, plant(part, victim))
			if name == "one for all" {
				require.NoError(t, os.Chmod(part, 0o666))
			}
			target, err := openTarget(t.Context(), dir, true)
			require.NoError(t, err)
			defer target.close()
			file, err := target.openPart(t.Context(), "part")
			require.NoError(t, err)
			defer file.unlock()
			had, err := os.ReadFile(part)
			require.NoError(t, err)
			if name == "an earlier try's" {
				assert.Equal(t, "good", string(had))
			} else if name != "a write-protected" {
				assert.Empty(t, had)
			}
			_, err = file.WriteString("x")
			require.NoError(t, err)
			require.NoError(t, file.Close())
			kept, err := os.ReadFile(victim)
			require.NoError(t, err)
			assert.Equal(t, "victim", string(kept))
		})
	}
}

// swapper turns a folder, a folder in it and a temporary file into links that
// lead out, and back, until it has done so n times each.
func swapper(inside, outside, part string, n int) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			for _, dir := range []string{filepath.Join(inside, "d"), filepath.Join(inside, "d", "e")} {
				_ = os.Remove(filepath.Join(inside, part))
				_ = os.Symlink(filepath.Join(outside, "victim"), filepath.Join(inside, part))
				away := filepath.Join(inside, "away")
				if os.Rename(dir, away) != nil {
					continue // it is not made yet
				}
				_ = os.Symlink(outside, dir)
				_ = os.Remove(dir)
				if os.Rename(away, dir) != nil { // a new one was made in its place
					_ = os.RemoveAll(away)
				}
			}
		}
	}()
	return done
}

// However links are swapped under a fetch, nothing is written outside its target.
func TestSwappedLinksLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "inside"), filepath.Join(dir, "outside")
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "e"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("victim"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(inside, "d", "e"), 0o700))
	target, err := openTarget(t.Context(), inside, true)
	require.NoError(t, err)
	defer target.close()
	part := partOf("d/e/x", "0123456789abcdef")
	fetch := func() error {
		local, err := target.place("d/e/x")
		if err != nil {
			return err
		}
		file, err := target.openPart(t.Context(), part)
		if err != nil {
			return err
		}
		defer file.unlock()
		_, err = file.WriteString("fetched")
		require.NoError(t, err)
		require.NoError(t, file.Close())
		if err := target.publish(part, local, true); err != nil {
			return err
		}
		return target.sync(local)
	}
	swapped := swapper(inside, outside, part, 150)
	tries, good := 0, 0
	for running := true; running; tries++ {
		if fetch() == nil {
			good++
		}
		select {
		case <-swapped:
			running = false
		default:
		}
	}
	t.Logf("%d of %d fetches succeeded", good, tries)
	require.NoError(t, fetch(), "it goes on as soon as nobody interferes")
	var found []string
	require.NoError(t, filepath.Walk(outside, func(path string, _ os.FileInfo, err error) error {
		found = append(found, path)
		return err
	}))
	assert.Equal(t, []string{outside, filepath.Join(outside, "e"), filepath.Join(outside, "victim")}, found)
	kept, err := os.ReadFile(filepath.Join(outside, "victim"))
	require.NoError(t, err)
	assert.Equal(t, "victim", string(kept))
}

// What has become a link out of the folder since it was found there is not stored.
func TestSwappedLinksAreNotStored(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	for _, path := range []string{"folder/file", "folder/d/file", "outside/file"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), nil, 0o600))
	}
	g := gatherer{from: map[string]string{}}
	require.NoError(t, g.folder(folder, "folder"))
	require.Len(t, g.uploads, 2)
	for _, u := range g.uploads {
		file, err := u.open()
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "d")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "outside"), filepath.Join(folder, "d")))
	require.NoError(t, os.Remove(filepath.Join(folder, "file")))
	require.NoError(t, os.Symlink("../outside/file", filepath.Join(folder, "file")))
	for _, u := range g.uploads {
		_, err := u.open()
		assert.Error(t, err, u.path)
	}
}
