package cli

import (
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Flag goes before environment, before config.toml, before default; in
// config.toml "command.flag" goes before "flag".
func TestWhereAFlagsValueComesFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	settings, err := loadSettings(path)
	require.NoError(t, err)
	for key, value := range map[string]any{
		"compress": "1", "jobs": 2, "write-quorum": "3", "store.write-quorum": "4", "exclude": []string{"a", "b"}, "limit": "1KiB",
	} {
		require.NoError(t, settings.Set(key, value))
	}
	require.NoError(t, saveSettings(path, settings))
	settings, err = loadSettings(path)
	require.NoError(t, err)

	var o storeOptions
	cmd := &cobra.Command{Use: "store"}
	o.AddFlags(cmd.Flags())
	require.NoError(t, cmd.Flags().Parse([]string{"--compress=3"}))
	env := map[string]string{"DHTFS_COMPRESS": "2", "DHTFS_LIMIT": "2KiB", "DHTFS_IF_EXISTS": "skip"}
	given := make(map[string]origin)
	require.NoError(t, applySettings(cmd, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, settings, given))

	assert.Equal(t, "3", o.compress)
	assert.EqualValues(t, 2048, o.limit.perSecond)
	assert.Equal(t, "skip", o.ifExists)
	assert.Equal(t, 2, o.jobs)
	assert.Equal(t, 4, o.quorum)
	assert.Equal(t, []string{"a", "b"}, o.exclude)
	assert.Empty(t, o.as)
	assert.Equal(t, map[string]origin{
		"compress": byFlag, "limit": byEnvironment, "if-exists": byEnvironment, "jobs": byConfig, "write-quorum": byConfig, "exclude": byConfig,
	}, given)
}

func TestPaths(t *testing.T) {
	home := t.TempDir()
	p, err := resolvePaths(home, func(string) string { return "" })
	require.NoError(t, err)
	assert.Equal(t, home, p.Data)
	assert.Equal(t, filepath.Join(home, "daemon.json"), p.daemonFile())
	assert.Equal(t, filepath.Join(home, "config.toml"), p.Config)

	t.Setenv("HOME", home)
	env := map[string]string{"XDG_STATE_HOME": "/var/state", "XDG_CONFIG_HOME": "not/absolute"}
	p, err = resolvePaths("", func(k string) string { return env[k] })
	require.NoError(t, err)
	assert.Equal(t, "/var/state/dhtfs/daemon.json", p.daemonFile())
	assert.Equal(t, filepath.Join(home, ".config/dhtfs/config.toml"), p.Config)
	assert.Equal(t, filepath.Join(home, ".local/share/dhtfs/member"), p.Membership)
}
