package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node/api"
)

// plant writes small files.
func plant(t *testing.T, dir string, names ...string) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(name), 0o600))
	}
}

// secretsApp is an app whose own home is dir/own, beside a file and other homes.
func secretsApp(t *testing.T) (a *app, dir string, stderr interface{ String() string }) {
	dir = t.TempDir()
	plant(t, dir, "docs/file", "docs/member/node.key/file", // no home, for all its names
		"own/config.toml",
		"other/member/node.key", "other/member/members", "other/http.token", "other/logs/daemon.log",
		"joining/member/node.crt",
		"founding/member/root.key", "dying/member/.node.key.123",
		"copied/node.key", "copied/members",
		"docs/tls/node.key", "docs/tls/node.crt", // another program's
		"docs/home.lock", // not empty
		"gone/home.lock", "gone/http.token",
		"docs/deep/own/left/1/member/node.key")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "begun"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "begun/home.lock"), nil, 0o600)) // as locked before anything else is made
	a, _, err := testApp(false)
	a.paths, _ = resolvePaths(filepath.Join(dir, "own"), os.Getenv)
	return a, dir, err
}

func TestAFolderIsStoredWithoutTheHomesInIt(t *testing.T) {
	a, dir, stderr := secretsApp(t)
	for _, arg := range []string{dir, dir + "/.", filepath.Join(dir, "docs") + "/.."} {
		uploads, err := gather(a, storeOptions{}, []string{arg})
		require.NoError(t, err)
		var names []string
		for _, u := range uploads {
			require.NoError(t, u.error)
			names = append(names, filepath.Base(u.name))
		}
		assert.Equal(t, []string{"file", "home.lock", "file", "node.crt", "node.key"}, names, "%s", arg)
	}
	for _, home := range []string{"own", "other", "joining", "founding", "dying", "copied", "begun", "gone", "docs/deep/own/left/1"} {
		assert.Contains(t, stderr.String(), "warning: "+filepath.Join(dir, home)+" is the home of a node", home)
	}
}

func TestSecretsAreRefused(t *testing.T) {
	a, dir, _ := secretsApp(t)
	t.Chdir(dir)
	require.NoError(t, os.Symlink(filepath.Join(dir, "other/member/node.key"), filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "other"), filepath.Join(dir, "linked")))
	for _, arg := range []string{
		"own", "other", "other/", "other/member", "other/member/node.key", "other/member/members", "other/http.token",
		"joining", "joining/member/../member", "gone", "gone/http.token", "link", "linked", "linked/member/node.key",
	} {
		_, err := gather(a, storeOptions{}, []string{"docs/file", arg})
		failure := a.describe(t.Context(), err)
		assert.Equal(t, "node_home", failure.ID, arg)
		assert.Equal(t, api.ExitError, failure.Code, arg)
		assert.NotEmpty(t, failure.Hint, arg)
	}
	for _, arg := range []string{"docs/file", "own/config.toml", "other/logs/daemon.log"} {
		_, err := gather(a, storeOptions{}, []string{arg})
		require.NoError(t, err, "%s is the user's to give away", arg)
	}
}
