package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"

	"github.com/dhtfs/dhtfs/node"
)

// StoreFile is Store of an open file, read by the daemon from its offset, which is
// its beginning; how far it is shows in the offset. With ErrNoFile it cannot be
// handed over, and nothing has happened: Store can.
func (c *Client) StoreFile(ctx context.Context, name string, file *os.File, o node.StoreOptions) (Stored, error) {
	var stored Stored
	return stored, c.withFile(ctx, file, "/v1/store", storeQuery(name, o), &stored)
}

// Save fetches the version of name whose SHA-256 is sum, in hex, into file, which
// has its first have bytes from an earlier attempt; the file's offset shows how far
// the daemon is. Nothing in the file counts before Save has returned no error. With
// ErrNoFile it cannot be handed over, and nothing has happened: Fetch can.
func (c *Client) Save(ctx context.Context, name, sum string, file *os.File, have int64, o node.FetchOptions) (Saved, error) {
	var saved Saved
	return saved, c.withFile(ctx, file, "/v1/save", url.Values{
		"name":   {name},
		"sha256": {sum},
		"have":   {strconv.FormatInt(have, 10)},
		"quorum": {strconv.Itoa(o.Quorum)},
	}, &saved)
}

// withFile makes a call with an open file and reads the answer into out.
func (c *Client) withFile(ctx context.Context, file *os.File, path string, query url.Values, out any) error {
	if c.noFiles.Load() {
		return ErrNoFile
	}
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if conn, ok := info.Conn.(fileSender); ok {
			conn.attach(file)
		}
	}}
	response, err := c.do(httptrace.WithClientTrace(ctx, trace), http.MethodPost, path, query, nil, nil)
	if errors.Is(err, errNoCall) || errors.Is(err, ErrNoFile) {
		c.noFiles.Store(true)
		return ErrNoFile
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return lost(ctx, err)
	}
	return nil
}
