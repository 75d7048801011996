package api

import (
	"fmt"
	"net/http"
	"os"
)

// A caller on the unix socket may hand over an open file instead of bytes. It
// travels as ancillary data (SCM_RIGHTS) of the first byte of its request, so a
// process can pass on only what it was allowed to open itself. Both sides then
// share one file offset: the caller sees by it how far the daemon is.

// fileTaker is the local address of a connection that open files arrive on. It is
// how a call finds its connection, whatever that has been wrapped in since.
type fileTaker interface {
	// takeFile returns the file that came last, nil if there is none; the caller
	// closes it.
	takeFile() *os.File
}

// fileSender is a connection that open files can be sent on.
type fileSender interface {
	// attach has the next Write carry f, which must stay open until then.
	attach(f *os.File)
}

// takeFile returns the open regular file that came with r.
func takeFile(r *http.Request) (*os.File, error) {
	arrived, ok := r.Context().Value(http.LocalAddrContextKey).(fileTaker)
	if !ok {
		return nil, ErrNoFile
	}
	f := arrived.takeFile()
	if f == nil {
		return nil, ErrNoFile
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: what came with the call is no regular file", ErrUsage)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
