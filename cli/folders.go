package cli

import "path/filepath"

// maxFolders bounds the folders that are kept open.
const maxFolders = 32

// folders are the folders below a target that files were written to lately. Each is
// kept open: what is done in it by a plain name takes one system call, where a path
// through the target takes one for every folder on the way, twice. It is used by
// one goroutine; close it.
type folders struct {
	target *target
	open   map[string]*target // by path below the target
}

func newFolders(t *target) *folders { return &folders{target: t, open: map[string]*target{}} }

// place returns where the file name goes: the folder, made if it is missing, and the
// plain name in it.
func (f *folders) place(name string) (*target, string, error) {
	if f.target.file != "" {
		return f.target, f.target.file, nil
	}
	local, err := localName(name)
	if err != nil {
		return nil, "", err
	}
	dir, base := filepath.Dir(local), filepath.Base(local)
	if t := f.open[dir]; t != nil {
		return t, base, nil
	}
	if err := f.target.root.MkdirAll(dir, 0o777); err != nil {
		return nil, "", writing(err)
	}
	root, err := f.target.root.OpenRoot(dir)
	if err != nil {
		return nil, "", writing(err)
	}
	t := &target{root: root, shown: filepath.Join(f.target.shown, dir)}
	if t.dir, err = root.Open("."); err != nil {
		t.close()
		return nil, "", writing(err)
	}
	t.fd = int(t.dir.Fd())
	if len(f.open) >= maxFolders {
		f.close()
	}
	f.open[dir] = t
	return t, base, nil
}

func (f *folders) close() {
	for _, t := range f.open {
		t.close()
	}
	clear(f.open)
}
