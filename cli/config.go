package cli

import (
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node/api"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and change what config.toml remembers",
		Long: `Show and change what config.toml remembers: the value of any flag, as "flag" for
every command that has it or as "command.flag" for one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "show",
			Short: "Print the whole file",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return runConfigShow(a) },
		},
		&cobra.Command{
			Use:   "get KEY",
			Short: "Print one value; exit code 4 if there is none",
			Args:  takes(1, 1),
			RunE:  func(_ *cobra.Command, args []string) error { return runConfigGet(a, args[0]) },
		},
		&cobra.Command{
			Use:   "set KEY VALUE...",
			Short: "Set one value; a running daemon uses it after a restart",
			Args:  takes(2, noLimit),
			RunE: func(cmd *cobra.Command, args []string) error {
				return runConfigSet(a, cmd.Root(), args[0], args[1:])
			},
		})
	return cmd
}

// configDocument is what `config show` and `config get` print with --json.
type configDocument struct {
	Schema   string         `json:"schema"` // dhtfs.config/v1
	Path     string         `json:"path"`
	Settings map[string]any `json:"settings"`
}

func runConfigShow(a *app) error {
	settings, err := loadSettings(a.paths.Config)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(configDocument{Schema: "dhtfs.config/v1", Path: a.paths.Config, Settings: settings.Raw()})
	}
	text, err := settings.Marshal(toml.Parser())
	if err != nil {
		return err
	}
	a.printf("%s", text)
	return nil
}

func runConfigGet(a *app, key string) error {
	settings, err := loadSettings(a.paths.Config)
	if err != nil {
		return err
	}
	if !settings.Exists(key) {
		return &api.Error{Code: api.ExitNotFound, ID: "no_setting", Message: "nothing is set for " + key, Hint: "see  dhtfs config show"}
	}
	if a.global.json {
		return a.printJSON(configDocument{
			Schema: "dhtfs.config/v1", Path: a.paths.Config, Settings: map[string]any{key: settings.Get(key)},
		})
	}
	if many, ok := settings.Get(key).([]any); ok && len(many) > 0 {
		for _, v := range settings.Strings(key) {
			a.printf("%s\n", escape(v))
		}
		return nil
	}
	a.printf("%s\n", escape(settings.String(key)))
	return nil
}

func runConfigSet(a *app, root *cobra.Command, key string, values []string) error {
	flag := findFlag(root, key)
	if flag == nil {
		return usagef("%q is no flag of a command", key)
	}
	list, isList := flag.Value.(pflag.SliceValue)
	switch {
	case !isList && len(values) > 1:
		return usagef("%s takes one value", key)
	case isList:
		if err := list.Replace(values); err != nil {
			return usagef("%s: %v", key, err)
		}
	default:
		if err := flag.Value.Set(values[0]); err != nil {
			return usagef("%s: %v", key, err)
		}
	}
	if err := a.paths.make(); err != nil {
		return err
	}
	settings, err := loadSettings(a.paths.Config)
	if err != nil {
		return err
	}
	if err := settings.Set(key, settingOf(flag)); err != nil {
		return err
	}
	return saveSettings(a.paths.Config, settings)
}

// findFlag finds the flag that a key of config.toml is for.
func findFlag(cmd *cobra.Command, key string) *pflag.Flag {
	for _, c := range append(cmd.Commands(), cmd) {
		for _, flags := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			found := (*pflag.Flag)(nil)
			flags.VisitAll(func(f *pflag.Flag) {
				if f.Name != "help" && f.Name != "home" && (key == f.Name || key == c.Name()+"."+f.Name) {
					found = f
				}
			})
			if found != nil {
				return found
			}
		}
	}
	return nil
}
