package cli

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/dhtfs/dhtfs/node/api"
)

// gather finds the files that the arguments of store stand for, with the names
// they get.
func gather(a *app, o storeOptions, args []string) ([]upload, error) {
	g := gatherer{app: a, options: o, from: make(map[string]string), secrets: newSecrets(a.paths)}
	for _, arg := range args {
		if err := g.argument(arg); err != nil {
			return nil, err
		}
	}
	return g.uploads, nil
}

type gatherer struct {
	app     *app
	options storeOptions
	uploads []upload
	from    map[string]string // name -> path
	secrets secrets
}

func (g *gatherer) argument(arg string) error {
	if arg == "-" {
		return g.add(upload{name: string(g.options.as)}, arg)
	}
	absolute, err := filepath.Abs(arg)
	if err != nil {
		return err
	}
	name := filepath.Base(absolute)
	info, err := os.Stat(arg)
	if err == nil {
		if absolute, err = filepath.EvalSymlinks(absolute); err == nil && g.secrets.has(absolute, info) {
			return secret(arg)
		}
	}
	switch {
	case err != nil:
		return g.add(upload{name: g.named(name), path: arg, error: reading(err)}, arg)
	case info.IsDir():
		if g.options.as != "" {
			return usagef("--as names one file, and %s is a folder", arg)
		}
		if name == string(filepath.Separator) || name == "." {
			name = ""
		}
		return g.folder(arg, name)
	case !info.Mode().IsRegular():
		return withHint(usagef("%s is no regular file", arg), "pass its content on standard input:  dhtfs store - --as NAME")
	}
	return g.add(upload{name: g.named(name), path: arg, info: info}, arg)
}

func (g *gatherer) named(name string) string {
	if g.options.as != "" {
		return string(g.options.as)
	}
	return g.options.prefix + name
}

// folder adds every file below dir under the name of the folder.
func (g *gatherer) folder(dir, name string) error {
	root, err := filepath.EvalSymlinks(dir) // the argument itself may be a link
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(root, file)
		if relErr != nil {
			return relErr
		}
		shown := filepath.Join(dir, relative)
		stored := g.options.prefix + path.Join(name, filepath.ToSlash(relative))
		if err != nil {
			return g.add(upload{name: stored, path: shown, error: reading(err)}, shown)
		}
		if relative != "." && g.excluded(filepath.ToSlash(relative)) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case entry.IsDir():
			if info, err := entry.Info(); relative != "." && err == nil && g.secrets.has(file, info) {
				g.app.warn("%s is the home of a node, with its secret keys, and is left out", shown)
				return filepath.SkipDir
			}
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			g.app.warn("%s is a symbolic link and is left out", shown)
			return nil
		case !entry.Type().IsRegular():
			g.app.warn("%s is no regular file and is left out", shown)
			return nil
		case isPart(entry.Name()):
			g.app.warn("%s is what a fetch has left and is left out", shown)
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed since the folder was read
		}
		if err != nil {
			return g.add(upload{name: stored, path: shown, error: reading(err)}, shown)
		}
		return g.add(upload{name: stored, folder: root, path: relative, info: info}, shown)
	})
}

// excluded reports whether a path in a folder matches --exclude, as a whole or
// by its last segment.
func (g *gatherer) excluded(relative string) bool {
	for _, glob := range g.options.exclude {
		for _, s := range []string{relative, path.Base(relative)} {
			if ok, _ := path.Match(glob, s); ok { // validate has seen the glob
				return true
			}
		}
	}
	return false
}

// add refuses two files of one name: one would replace the other.
func (g *gatherer) add(u upload, from string) error {
	if other, taken := g.from[u.name]; taken {
		return usagef("%s and %s would both be stored as %q", other, from, u.name)
	}
	g.from[u.name] = from
	g.uploads = append(g.uploads, u)
	return nil
}

// reading is an error of the local disk, which is not one of the ring.
func reading(err error) error { return api.Reading(err) }
