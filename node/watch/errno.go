package watch

import "syscall"

// What the system says of a path that leads through something that is no folder,
// and when it gives no more watches.
const (
	errNotFolder   = syscall.ENOTDIR
	errNoWatches   = syscall.ENOSPC
	errNoInstances = syscall.EMFILE
)
