package watch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFoldersAreRemembered(t *testing.T) {
	top := t.TempDir()
	dir := func(name string) string {
		path := filepath.Join(top, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(path, 0o700))
		return path
	}
	conf := Config{
		Node: newShelf(), Dir: filepath.Join(top, "state", "watch"), Own: []string{dir("home/data"), filepath.Join(top, "not there")},
		Private: func(path string) bool { return filepath.Base(path) == "other home" },
	}
	s, err := New(conf)
	require.NoError(t, err)
	a, err := s.Add(Folder{Dir: dir("a"), Prefix: "a/", Exclude: []string{"*.tmp"}})
	require.NoError(t, err)
	assert.Equal(t, Keep, a.OnDelete)
	require.NoError(t, os.Symlink(dir("real"), filepath.Join(top, "link")))
	b, err := s.Add(Folder{Dir: filepath.Join(top, "link"), Prefix: "b", OnDelete: Remove})
	require.NoError(t, err)
	assert.Equal(t, dir("real"), b.Dir)
	require.NoError(t, os.WriteFile(filepath.Join(top, "file"), nil, 0o600))

	for name, c := range map[string]struct {
		folder Folder
		err    error
	}{
		"the same":                  {Folder{Dir: dir("a"), Prefix: "x"}, ErrTwice},
		"the same by a link":        {Folder{Dir: filepath.Join(top, "link"), Prefix: "x"}, ErrTwice},
		"inside":                    {Folder{Dir: dir("a/b"), Prefix: "x"}, ErrOverlap},
		"around":                    {Folder{Dir: top, Prefix: "x"}, ErrOverlap},
		"no prefix":                 {Folder{Dir: dir("c")}, ErrOverlap},
		"the same prefix":           {Folder{Dir: dir("c"), Prefix: "a/"}, ErrOverlap},
		"a prefix of the prefix":    {Folder{Dir: dir("c"), Prefix: "b/c/"}, ErrOverlap},
		"the node's own":            {Folder{Dir: dir("home/data"), Prefix: "x"}, ErrOverlap},
		"inside the node's own":     {Folder{Dir: dir("home/data/files"), Prefix: "x"}, ErrOverlap},
		"around the node's own":     {Folder{Dir: dir("home"), Prefix: "x"}, ErrOverlap},
		"another node's":            {Folder{Dir: dir("other home"), Prefix: "x"}, ErrOverlap},
		"inside another node's":     {Folder{Dir: dir("other home/member"), Prefix: "x"}, ErrOverlap},
		"no folder":                 {Folder{Dir: filepath.Join(top, "nothing"), Prefix: "x"}, ErrNoFolder},
		"a file":                    {Folder{Dir: filepath.Join(top, "file"), Prefix: "x"}, ErrNoFolder},
		"a prefix that is no name":  {Folder{Dir: dir("c"), Prefix: "../"}, ErrOption},
		"an exclude that is none":   {Folder{Dir: dir("c"), Prefix: "x", Exclude: []string{"/"}}, ErrOption},
		"an on-delete that is none": {Folder{Dir: dir("c"), Prefix: "x", OnDelete: "maybe"}, ErrOption},
	} {
		_, err := s.Add(c.folder)
		require.ErrorIs(t, err, c.err, name)
	}

	s, err = New(conf)
	require.NoError(t, err)
	require.Len(t, s.Status(), 2)
	assert.Equal(t, a, s.Status()[0].Folder)
	assert.Equal(t, b, s.Status()[1].Folder)
	_, err = s.Remove(dir("c"))
	require.ErrorIs(t, err, ErrUnknown)
	_, err = s.Remove(filepath.Join(top, "link"))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(a.Dir))
	_, err = s.Remove(a.Dir)
	require.NoError(t, err, "also when it is gone")
	s, err = New(conf)
	require.NoError(t, err)
	assert.Empty(t, s.Status())

	require.NoError(t, os.WriteFile(s.listPath(), []byte("{"), 0o600))
	_, err = New(conf)
	require.ErrorContains(t, err, s.listPath())
}

func TestAFolderIsWatchedNoLonger(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.write("a", "1")
	s.start()
	s.settles(map[string]string{"a": "1"})
	_, err := s.service.Remove(s.dir)
	require.NoError(t, err)
	assert.NoFileExists(t, s.stateFilePath())
	s.write("b", "2")
	require.NoError(t, os.Remove(s.path("a")))
	_, err = s.service.Add(s.conf) // again
	require.NoError(t, err)
	s.settles(map[string]string{"a": "1", "b": "2"})
}

func (s *stage) stateFilePath() string { return s.service.statePath(&Folder{Dir: s.dir}) }
