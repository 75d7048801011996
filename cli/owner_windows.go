package cli

import (
	"io/fs"
	"os"
)

// solelyOurs leaves it to the folder's permissions who may change a file in it.
func solelyOurs(fs.FileInfo) bool { return true }

// tryLock locks nothing: a lock here would keep the daemon from writing the file.
func tryLock(*os.File) (unlock func(), locked bool) { return func() {}, true }
