package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// paths is where everything of one node is.
type paths struct {
	Home       string // as given; empty with the XDG directories
	Config     string // config.toml
	Data       string // files and registers
	Membership string // keys, certificates and members
	State      string // daemon.json, the socket, the token of the HTTP port
	Logs       string
}

// resolvePaths puts everything under home or, if that is empty, into the XDG
// directories.
func resolvePaths(home string, getenv func(string) string) (paths, error) {
	if home != "" {
		dir, err := filepath.Abs(home)
		if err != nil {
			return paths{}, fmt.Errorf("find the home: %w", err)
		}
		return paths{
			Home:       dir,
			Config:     filepath.Join(dir, "config.toml"),
			Data:       dir,
			Membership: filepath.Join(dir, "member"),
			State:      dir,
			Logs:       filepath.Join(dir, "logs"),
		}, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return paths{}, usagef("there is no home directory: %v; --home DIR says where the node lives", err)
	}
	xdg := func(variable, otherwise string) string {
		dir := getenv(variable)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(user, otherwise)
		}
		return filepath.Join(dir, "dhtfs")
	}
	data := xdg("XDG_DATA_HOME", ".local/share")
	state := xdg("XDG_STATE_HOME", ".local/state")
	return paths{
		Config:     filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "config.toml"),
		Data:       data,
		Membership: filepath.Join(data, "member"),
		State:      state,
		Logs:       filepath.Join(state, "logs"),
	}, nil
}

// make creates the directories, for the user only.
func (p paths) make() error {
	for _, dir := range []string{filepath.Dir(p.Config), p.Data, p.State, p.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the node's directories: %w", err)
		}
	}
	return nil
}

// place names the home in a message.
func (p paths) place() string { return cmp.Or(p.Home, p.State) }

func (p paths) daemonFile() string { return filepath.Join(p.State, "daemon.json") }
func (p paths) tokenFile() string  { return filepath.Join(p.State, "http.token") }
func (p paths) lockFile() string   { return filepath.Join(p.State, "home.lock") }
func (p paths) leftDir() string    { return filepath.Join(p.State, "left") }
func (p paths) watchDir() string   { return filepath.Join(p.State, "watch") }
func (p paths) logFile() string    { return filepath.Join(p.Logs, "daemon.log") }

// pathsDocument is what `paths --json` prints.
type pathsDocument struct {
	Schema     string `json:"schema"` // dhtfs.paths/v1
	Home       string `json:"home"`
	Config     string `json:"config"`
	Data       string `json:"data"`
	Files      string `json:"files"`
	Membership string `json:"membership"`
	State      string `json:"state"`
	Daemon     string `json:"daemon"`
	Socket     string `json:"socket"` // of the running daemon, empty without
	Token      string `json:"token"`
	Log        string `json:"log"`
}

func newPathsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "paths",
		Short: "Print where this node keeps its things",
		Args:  takes(0, 0),
		RunE:  func(*cobra.Command, []string) error { return runPaths(a) },
	}
}

func runPaths(a *app) error {
	p := a.paths
	doc := pathsDocument{
		Schema:     "dhtfs.paths/v1",
		Home:       p.Home,
		Config:     p.Config,
		Data:       p.Data,
		Files:      filepath.Join(p.Data, "files"),
		Membership: p.Membership,
		State:      p.State,
		Daemon:     p.daemonFile(),
		Token:      p.tokenFile(),
		Log:        p.logFile(),
	}
	if info, err := readDaemonInfo(p.daemonFile()); err == nil {
		doc.Socket = info.Socket
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	return a.printTable(nil, [][]string{
		{"config", doc.Config},
		{"data", doc.Data},
		{"files", doc.Files},
		{"membership", doc.Membership},
		{"state", doc.State},
		{"daemon", doc.Daemon},
		{"socket", doc.Socket},
		{"token", doc.Token},
		{"log", doc.Log},
	})
}
