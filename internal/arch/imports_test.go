package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/dhtfs/dhtfs"

// A room is a directory of the repository with what is below it, other rooms
// that have a rule of their own excepted.
type room struct {
	// reach lists the rooms that its packages may depend on, directly or not.
	reach []string
	// direct, when given, narrows that to what they may import themselves.
	direct []string
	// never lists packages outside the module that they must not import.
	never []string
}

// rooms is the architecture: imports run from cmd down to chord, filestore and
// transfer, which know nothing of one another.
var rooms = map[string]room{
	"chord":          {never: []string{"net", "os", "syscall"}},
	"filestore":      {never: []string{"net"}},
	"transfer/trust": {},
	"transfer":       {reach: []string{"transfer/trust"}},
	"node":           {reach: []string{"chord", "filestore", "transfer", "transfer/trust"}},
	"node/watch":     {reach: []string{"node", "chord", "filestore", "transfer", "transfer/trust"}},
	"node/api":       {reach: []string{"node", "node/watch", "chord", "filestore", "transfer", "transfer/trust"}},
	"cli": {
		reach:  []string{"node", "node/watch", "node/api", "chord", "filestore", "transfer", "transfer/trust", "sample-files"},
		direct: []string{"node", "node/watch", "node/api", "chord", "filestore", "transfer/trust", "sample-files"},
	},
	"cmd": {
		reach:  []string{"cli", "node", "node/watch", "node/api", "chord", "filestore", "transfer", "transfer/trust", "sample-files"},
		direct: []string{"cli"},
	},
	"sample-files": {},
	"internal":     {reach: []string{"chord", "filestore", "transfer", "transfer/trust"}},
	// ringtest runs whole nodes; only tests import it.
	"internal/ringtest": {reach: []string{"internal", "node", "chord", "filestore", "transfer", "transfer/trust"}},
	"internal/simulate": {reach: []string{"internal", "internal/ringtest", "node", "chord", "filestore", "transfer", "transfer/trust"}},
}

// unwanted are packages that nothing of ours imports, tests included.
var unwanted = []string{"encoding/gob", "github.com/spf13/viper", "google.golang.org/grpc"}

// listed is what we read of go list's description of a package.
type listed struct {
	ImportPath   string
	Name         string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// roomOf returns the innermost room of a package of ours, or "".
func roomOf(path string) string {
	rest, ours := strings.CutPrefix(path, module+"/")
	for ours && rest != "" {
		if _, ok := rooms[rest]; ok {
			return rest
		}
		rest = rest[:max(0, strings.LastIndexByte(rest, '/'))]
	}
	return ""
}

// within reports whether path is one of the given packages or below one.
func within(path string, packages []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

// violations returns a line for each import that the rules forbid.
func violations(packages []listed) []string {
	var found []string
	complain := func(p listed, verb, path, why string) {
		found = append(found, fmt.Sprintf("%s %s %s: %s", p.ImportPath, verb, path, why))
	}
	for _, p := range packages {
		name := roomOf(p.ImportPath)
		rule, ok := rooms[name]
		if !ok {
			complain(p, "is in", "no room", "give its directory a rule")
			continue
		}
		for _, path := range p.Deps {
			to := roomOf(path)
			if strings.HasPrefix(path, module) && to != name && !slices.Contains(rule.reach, to) {
				complain(p, "reaches", path, "not a room below "+name)
			}
		}
		for _, path := range p.Imports {
			to := roomOf(path)
			if rule.direct != nil && to != "" && to != name && !slices.Contains(rule.direct, to) {
				complain(p, "imports", path, "only by way of "+strings.Join(rule.direct, ", "))
			}
			if within(path, rule.never) {
				complain(p, "imports", path, "not the business of "+name)
			}
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if within(path, unwanted) {
				complain(p, "imports", path, "unwanted everywhere")
			}
		}
	}
	return found
}

// list describes the module's packages as they are for one operating system.
func list(t *testing.T, goos string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Doc,GoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func TestImportsRunOneWay(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		packages := list(t, goos)
		require.NotEmpty(t, packages)
		assert.Empty(t, violations(packages), goos)
	}
}

func TestViolationsAreFound(t *testing.T) {
	ours := func(paths ...string) []string {
		for i, p := range paths {
			paths[i] = module + "/" + p
		}
		return paths
	}
	for name, p := range map[string]listed{
		"sideways":             {ImportPath: module + "/chord", Deps: ours("filestore")},
		"upwards":              {ImportPath: module + "/node/register", Deps: ours("node/api")},
		"test network":         {ImportPath: module + "/node", Deps: ours("internal/memnet")},
		"round the daemon":     {ImportPath: module + "/cli", Imports: ours("transfer")},
		"main does the work":   {ImportPath: module + "/cmd/dhtfs", Imports: ours("node")},
		"sockets in the ring":  {ImportPath: module + "/chord", Imports: []string{"net/netip"}},
		"unwanted in a test":   {ImportPath: module + "/node", TestImports: []string{"encoding/gob"}},
		"package with no rule": {ImportPath: module + "/util"},
	} {
		assert.Len(t, violations([]listed{p}), 1, name)
	}
	assert.Empty(t, violations([]listed{
		{ImportPath: module + "/node/register", Deps: ours("chord", "filestore", "node/other")},
		{ImportPath: module + "/cli", Imports: ours("node/api"), Deps: ours("node/api", "node", "transfer")},
	}))
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range list(t, "linux") {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		assert.NotEmpty(t, p.Doc, "%s has no package comment", p.ImportPath)
		if len(p.GoFiles) > 1 {
			assert.Contains(t, p.GoFiles, "doc.go", p.ImportPath)
		}
	}
}
