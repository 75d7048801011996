package filestore

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	killDir   = "DHTFS_TEST_KILL_DIR"
	killFirst = "DHTFS_TEST_KILL_FIRST"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Fprintln(os.Stderr, storeUntilKilled(dir, os.Getenv(killFirst)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// storeUntilKilled stores, replaces and deletes, and tells after each what it
// has done.
func storeUntilKilled(dir, first string) error {
	s, err := Open(Options{Dir: dir, Positions: testPositions})
	if err != nil {
		return err
	}
	var from int
	if _, err := fmt.Sscan(first, &from); err != nil {
		return err
	}
	for i := from; ; i++ {
		name := fmt.Sprint(i % 5)
		if i%3 == 0 {
			err = accept(s, ballot(uint64(i)), Record{Name: name, Deleted: true})
		} else {
			err = put(s, ballot(uint64(i)), name, killContent(i))
		}
		if err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// killContent is the content that change i stores.
func killContent(i int) []byte {
	size := i % 3000
	if i%7 == 0 {
		size += ChunkSize
	}
	return append(fmt.Appendln(nil, i), content(byte(i), size)...)
}

// TestKill kills a process that stores, and wants everything it told to be
// there, again and again on one directory.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	done := 0
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir, fmt.Sprintf("%s=%d", killFirst, done+2))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			_, err := fmt.Sscan(lines.Text(), &done)
			require.NoError(t, err)
			if n == 5+9*round { // and it stores on until the signal arrives
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait())
		require.Empty(t, stderr.String())

		s, err := Open(Options{Dir: dir, Positions: testPositions})
		require.NoError(t, err)
		require.False(t, s.Rebuilt())
		visible := 0
		for n := range 5 {
			name := fmt.Sprint(n)
			r, err := s.Register(name)
			require.NoError(t, err)
			i := int(r.Accepted.Counter)
			require.GreaterOrEqual(t, i, lastChange(done, n), "change of %s that was told", name)
			require.LessOrEqual(t, i, done+1)
			if i == 0 || i%3 == 0 {
				requireContent(t, s, name, nil)
				continue
			}
			require.True(t, r.Held)
			data, err := read(s, name)
			require.NoError(t, err)
			require.True(t, bytes.Equal(killContent(i), data))
			visible++
		}
		requireClean(t, s, visible)
		require.Empty(t, quarantined(t, s.disk))
		require.NoError(t, s.Close())
	}
}

// lastChange returns the last change up to done that was of name n and that
// the numbering, which skips one at each start, is sure to have contained.
func lastChange(done, n int) int {
	for i := done; i > done-5 && i > 1; i-- {
		if i%5 == n {
			return i
		}
	}
	return 0
}
