package cli

import (
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// remember writes the flags that were given, and the ports that were obtained
// for default ones and :0, to config.toml.
func remember(a *app, cmd *cobra.Command, info daemonInfo) error {
	settings, err := loadSettings(a.paths.Config)
	if err != nil {
		return err
	}
	before := settings.Sprint()
	for _, name := range remembered() {
		flag := cmd.Flags().Lookup(name)
		if flag != nil && a.given[name] == byFlag {
			if err := settings.Set(name, settingOf(flag)); err != nil {
				return err
			}
		}
	}
	for name, obtained := range map[string]string{"listen": info.Listen, "http": info.HTTP} {
		address := map[string]string{"listen": defaultListen, "http": defaultHTTP}[name]
		if a.given[name] == byFlag {
			address, _ = hostPort(cmd.Flags().Lookup(name).Value.String(), "") // it was listened on
		}
		host, port, _ := net.SplitHostPort(address)
		if obtained == "" || a.given[name] == byConfig || a.given[name] == byEnvironment || a.given[name] == byFlag && port != "0" {
			continue
		}
		_, port, _ = net.SplitHostPort(obtained)
		if err := settings.Set(name, net.JoinHostPort(host, port)); err != nil {
			return err
		}
	}
	if settings.Sprint() == before {
		return nil
	}
	return saveSettings(a.paths.Config, settings)
}

// settingOf is a flag's value as config.toml has it.
func settingOf(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return f.Value.String()
}
