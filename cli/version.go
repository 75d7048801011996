package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

// versionDocument is what `version --json` prints.
type versionDocument struct {
	Schema  string `json:"schema"` // dhtfs.version/v1
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  takes(0, 0),
		RunE:  func(*cobra.Command, []string) error { return runVersion(a) },
	}
}

func runVersion(a *app) error {
	doc := versionDocument{
		Schema:  "dhtfs.version/v1",
		Version: version(),
		Go:      runtime.Version(),
		OS:      runtime.GOOS,
		Arch:    runtime.GOARCH,
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	a.printf("dhtfs %s (%s, %s/%s)\n", doc.Version, doc.Go, doc.OS, doc.Arch)
	return nil
}
