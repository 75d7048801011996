package cli

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node/api"
)

// globalOptions are the flags every command has.
type globalOptions struct {
	home      string
	json      bool
	progress  string
	quiet     bool
	verbose   bool
	logLevel  string
	logFormat string
}

// AddFlags declares the flags on f.
func (o *globalOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.home, "home", "", "keep everything of one node under `DIR` (default: the XDG directories)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.progress, "progress", "auto", "how progress is shown: auto, bar, plain, json or off")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but data and errors")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "tell more")
	f.StringVar(&o.logLevel, "log-level", "info", "what the daemon logs: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "how the daemon logs: text or json")
}

func (o *globalOptions) validate() error {
	if !slices.Contains([]string{"auto", "bar", "plain", "json", "off"}, o.progress) {
		return usagef("--progress: %q is not one of auto, bar, plain, json, off", o.progress)
	}
	if !slices.Contains([]string{"text", "json"}, o.logFormat) {
		return usagef("--log-format: %q is not one of text, json", o.logFormat)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return usagef("--log-level: %q is not one of debug, info, warn, error", o.logLevel)
	}
	return nil
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "dhtfs",
		Short: "Share files among machines, without a server",
		Long: `dhtfs shares files among the machines of a ring. Anybody on the ring stores a
file by name, and anybody fetches it by name from whichever machines hold it.

  dhtfs up               start a ring on this machine
  dhtfs invite           the line to paste on another one
  dhtfs store PATH       store a file, or a folder
  dhtfs fetch NAME       fetch it, on any machine of the ring`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.begin(cmd) },
	}
	root.SetFlagErrorFunc(flagError)
	a.global.AddFlags(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "files", Title: "Files:"},
		&cobra.Group{ID: "ring", Title: "Ring:"},
		&cobra.Group{ID: "care", Title: "Care:"},
		&cobra.Group{ID: "plumbing", Title: "Plumbing:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("files",
		newStoreCommand(a), newFetchCommand(a), newCatCommand(a), newListCommand(a), newStatCommand(a),
		newExistsCommand(a), newLocateCommand(a), newRemoveCommand(a))
	add("ring",
		newUpCommand(a), newDaemonCommand(a), newDownCommand(a), newInviteCommand(a), newJoinCommand(a),
		newLogoutCommand(a), newStatusCommand(a), newNodesCommand(a), newRingCommand(a), newFingersCommand(a))
	add("care", newVerifyCommand(a), newScrubCommand(a), newWatchCommand(a), newDoctorCommand(a), newSpaceCommand(a),
		newBenchCommand(a))
	add("plumbing",
		newDemoCommand(a), newConfigCommand(a), newPathsCommand(a), newVersionCommand(a))
	root.SetCompletionCommandGroupID("plumbing")
	root.SetHelpCommandGroupID("plumbing")
	return root
}

// begin settles where the node lives and what every flag is worth.
func (a *app) begin(cmd *cobra.Command) error {
	if f := cmd.Flags().Lookup("home"); !f.Changed {
		a.global.home = os.Getenv(envName("home"))
	}
	p, err := resolvePaths(a.global.home, os.Getenv)
	if err != nil {
		return err
	}
	a.paths = p
	file, err := loadSettings(p.Config)
	if err != nil {
		return err
	}
	if err := applySettings(cmd, os.LookupEnv, file, a.given); err != nil {
		return err
	}
	if err := a.global.validate(); err != nil {
		return err
	}
	a.begun = true
	return nil
}

// logger is for the daemon; it writes to stderr.
func (a *app) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(a.global.logLevel)) // validate has seen it
	if a.global.verbose && level > slog.LevelDebug {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if a.global.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(printableJSONWriter{a.stderr}, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}

// usagef is an error of the command line.
func usagef(format string, args ...any) error {
	return &api.Error{Code: api.ExitUsage, ID: "usage", Message: fmt.Sprintf(format, args...)}
}
