package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// isHome reports whether a node lives in dir, or has left its keys there.
func isHome(dir string) bool {
	has := func(name ...string) bool {
		info, err := os.Stat(filepath.Join(append([]string{dir}, name...)...))
		return err == nil && info.Mode().IsRegular()
	}
	return has("member", "node.key") || has("member", "node.crt") || has("home.lock") && has("http.token")
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
