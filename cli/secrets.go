package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dhtfs/dhtfs/node/api"
)

// secrets knows what must never be published: the homes of nodes, with the keys
// and the token that are in them.
type secrets struct{ own []fs.FileInfo }

// newSecrets looks up the places of this node, whether or not there is one yet.
func newSecrets(p paths) secrets {
	var s secrets
	for _, path := range []string{p.Data, p.State, p.Membership, filepath.Dir(p.Config), p.tokenFile()} {
		if info, err := os.Stat(path); err == nil {
			s.own = append(s.own, info)
		}
	}
	return s
}

// has reports whether path, which is no link, is the home of a node, or the
// membership or the token in one.
func (s secrets) has(path string, info fs.FileInfo) bool {
	for _, own := range s.own {
		if os.SameFile(own, info) {
			return true
		}
	}
	parent := filepath.Dir(path)
	switch {
	case isHome(parent) && (is(info, filepath.Join(parent, "member")) || is(info, filepath.Join(parent, "http.token"))):
		return true
	case info.IsDir():
		return isHome(path)
	}
	home := filepath.Dir(parent)
	dir, err := os.Stat(parent)
	return err == nil && isHome(home) && is(dir, filepath.Join(home, "member"))
}

// isHome reports whether a node lives in dir, or has left its keys there. A home
// that is being made, or copied, is one from the first sign of it: its lock comes
// before everything else. A membership by itself is one, too.
func isHome(dir string) bool {
	has := func(name ...string) bool {
		info, err := os.Stat(filepath.Join(append([]string{dir}, name...)...))
		return err == nil && info.Mode().IsRegular()
	}
	if has("http.token") || has("member", "node.crt") || has("member", "issuer.crt") {
		return true
	}
	for _, key := range []string{"node.key", "root.key", "issuer.key"} {
		if has("member", key) || has(key) && (has("members") || has("issuer.crt")) {
			return true
		}
	}
	inMember, _ := os.ReadDir(filepath.Join(dir, "member"))
	for _, e := range inMember { // a key that is being written, or was when the machine went down
		if strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), ".key.") && e.Type().IsRegular() {
			return true
		}
	}
	lock, err := os.Stat(filepath.Join(dir, "home.lock"))
	return err == nil && lock.Mode().IsRegular() && lock.Size() == 0
}

// is reports whether info is that of path.
func is(info fs.FileInfo, path string) bool {
	file, err := os.Stat(path)
	return err == nil && os.SameFile(file, info)
}

// secret refuses to publish what was named on the command line.
func secret(path string) error {
	return &api.Error{
		Code:    api.ExitError,
		ID:      "node_home",
		Message: fmt.Sprintf("%s has the secret keys of a node, or its token, and is not stored", path),
		Hint:    "name the files that you mean, or move them out of the node's home",
	}
}
