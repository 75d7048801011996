package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/filestore"
)

// origin is where a flag's value came from.
type origin uint8

// From the weakest to the strongest.
const (
	byDefault origin = iota
	byConfig
	byEnvironment
	byFlag
)

// envName is the environment variable of a flag.
func envName(flag string) string {
	return "DHTFS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// loadSettings reads config.toml; one that is not there is empty.
func loadSettings(path string) (*koanf.Koanf, error) {
	settings := koanf.New(".")
	err := settings.Load(file.Provider(path), toml.Parser())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return settings, nil
}

// saveSettings replaces config.toml, all or nothing.
func saveSettings(path string, settings *koanf.Koanf) error {
	text, err := settings.Marshal(toml.Parser())
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return filestore.ReplaceFile(path, text)
}

// applySettings gives each flag of cmd that is not on the command line the
// value of its environment variable, or else of the settings, where the key
// "<command>.<flag>" goes before "<flag>". It notes in given where the values
// came from.
func applySettings(cmd *cobra.Command, env func(string) (string, bool), settings *koanf.Koanf, given map[string]origin) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "home" || failed != nil {
			return
		}
		if f.Changed {
			given[f.Name] = byFlag
			return
		}
		if value, ok := env(envName(f.Name)); ok {
			if err := f.Value.Set(value); err != nil {
				failed = usagef("%s: %v", envName(f.Name), err)
			}
			given[f.Name] = byEnvironment
			return
		}
		for _, key := range []string{cmd.Name() + "." + f.Name, f.Name} {
			if !settings.Exists(key) || settings.Get(key) == nil {
				continue
			}
			if _, table := settings.Get(key).(map[string]any); table {
				continue
			}
			if err := setFrom(f, settings, key); err != nil {
				failed = usagef("config.toml: %s: %v", key, err)
			}
			given[f.Name] = byConfig
			return
		}
	})
	return failed
}

// setFrom sets f from a scalar or a list.
func setFrom(f *pflag.Flag, settings *koanf.Koanf, key string) error {
	list, isList := f.Value.(pflag.SliceValue)
	if _, many := settings.Get(key).([]any); isList && many {
		return list.Replace(settings.Strings(key))
	}
	return f.Value.Set(settings.String(key))
}
