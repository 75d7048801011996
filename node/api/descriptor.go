package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
)

// A caller on the unix socket may hand over an open file instead of bytes. It
// travels as ancillary data (SCM_RIGHTS) of the first byte of its request, so a
// process can pass on only what it was allowed to open itself. Both sides then
// share one file offset: the caller sees by it how far the daemon is.

// fileTaker is a connection that open files arrive on.
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

type connKey struct{}

// withConn lets the handlers of a connection's calls find it.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// takeFile returns the open regular file that came with r.
func takeFile(r *http.Request) (*os.File, error) {
	conn, ok := r.Context().Value(connKey{}).(fileTaker)
	if !ok {
		return nil, ErrNoFile
	}
	f := conn.takeFile()
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
