package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/dhtfs/dhtfs/node/api"
)

// answerTime is for how long a daemon may leave a new connection without an answer.
const answerTime = 30 * time.Second

// greet asks for a sign of life on a new connection. The system makes it in the name of
// a daemon that is stopped, or has no file descriptors left, and then a call on it would
// wait without a word for as long as that lasts.
func greet(ctx context.Context, conn net.Conn, within time.Duration) error {
	_ = conn.SetDeadline(time.Now().Add(within))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	_, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err == nil {
		var response *http.Response
		if response, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodOptions}); err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
	}
	switch {
	case !stop():
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return api.ErrSilent
	case err != nil:
		return fmt.Errorf("%w: %w", api.ErrDaemonGone, err)
	}
	return conn.SetDeadline(time.Time{})
}
