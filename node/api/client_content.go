package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dhtfs/dhtfs/node"
)

// SourceError is an error of the reader that Store was given the content of.
type SourceError struct{ Err error }

// Error is the reader's.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the reader's error.
func (e *SourceError) Unwrap() error { return e.Err }

// Store sends content as the file name. The daemon may answer before content
// has ended; content is then not read to its end, and one Read of it may still
// be under way when Store returns.
func (c *Client) Store(ctx context.Context, name string, content io.Reader, o node.StoreOptions) (Stored, error) {
	query := storeQuery(name, o)
	body := &source{Reader: content}
	response, err := c.do(ctx, http.MethodPut, "/v1/file", query, func(r *http.Request) {
		if o.Empty {
			r.Body, r.ContentLength = http.NoBody, 0
			return
		}
		r.Header.Set("Expect", "100-continue")
		r.ContentLength = -1
		if o.Size > 0 {
			r.ContentLength = o.Size
		}
	}, body)
	if err != nil {
		if failure := body.failure.Load(); failure != nil && ctx.Err() == nil {
			return Stored{}, failure
		}
		return Stored{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var stored Stored
	if err := json.NewDecoder(response.Body).Decode(&stored); err != nil {
		return Stored{}, lost(ctx, err)
	}
	return stored, nil
}

func storeQuery(name string, o node.StoreOptions) url.Values {
	query := url.Values{
		"name":      {name},
		"if_exists": {o.IfExists.String()},
		"compress":  {o.Compress},
		"replicas":  {strconv.Itoa(o.Replicas)},
		"quorum":    {strconv.Itoa(o.Quorum)},
		"mode":      {strconv.FormatUint(uint64(o.Mode.Perm()), 8)},
	}
	if o.Op != [16]byte{} {
		query.Set("op", o.Op.String())
		query.Set("base", strconv.FormatUint(o.Base, 10))
	}
	if !o.Modified.IsZero() {
		query.Set("modified", o.Modified.UTC().Format(time.RFC3339Nano))
	}
	return query
}

// source is the content of a request; it remembers why it could not be read.
type source struct {
	io.Reader
	failure atomic.Pointer[SourceError]
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failure.Store(&SourceError{Err: err})
	}
	return n, err
}

// Content is a fetch in progress: the record, then the bytes. Reading ends with
// io.EOF only when every byte that was asked for has come. Close it.
type Content struct {
	File   File
	Length int64 // bytes that will come
	Later  bool  // none come now, as there are more than were wanted inline

	response *http.Response
	read     int64
}

// Fetch opens name for reading.
func (c *Client) Fetch(ctx context.Context, name string, o node.FetchOptions) (*Content, error) {
	return c.fetch(ctx, name, o, 0)
}

// FetchSmall is Fetch, but where more than inline bytes would come only the record
// does, see Content.Later, if the daemon can hold the content back.
func (c *Client) FetchSmall(ctx context.Context, name string, o node.FetchOptions, inline int64) (*Content, error) {
	return c.fetch(ctx, name, o, inline)
}

func (c *Client) fetch(ctx context.Context, name string, o node.FetchOptions, inline int64) (*Content, error) {
	query := url.Values{
		"name":   {name},
		"offset": {strconv.FormatInt(o.Offset, 10)},
		"length": {strconv.FormatInt(max(o.Length, 0), 10)},
		"quorum": {strconv.Itoa(o.Quorum)},
	}
	if inline > 0 && !c.noFiles.Load() {
		query.Set("inline", strconv.FormatInt(inline, 10))
	}
	response, err := c.do(ctx, http.MethodGet, "/v1/content", query, func(r *http.Request) {
		r.Header.Set("TE", "trailers")
	}, nil)
	if err != nil {
		return nil, err
	}
	content := &Content{response: response}
	if err := json.Unmarshal([]byte(response.Header.Get(headerFile)), &content.File); err != nil {
		_ = response.Body.Close()
		return nil, fmt.Errorf("%w: read the record of %q: %w", ErrInternal, name, err)
	}
	content.Later = response.Header.Get(headerLater) != ""
	content.Length = content.File.Size - o.Offset
	if o.Length > 0 {
		content.Length = min(content.Length, o.Length)
	}
	return content, nil
}

// Read reads content. When it breaks off, the error is the daemon's.
func (c *Content) Read(p []byte) (int, error) {
	n, err := c.response.Body.Read(p)
	c.read += int64(n)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		return n, lost(c.response.Request.Context(), err)
	}
	if doc := c.response.Trailer.Get(headerError); doc != "" {
		failure := new(Error)
		if err := json.Unmarshal([]byte(doc), failure); err != nil {
			return n, fmt.Errorf("%w: the content broke off", ErrInternal)
		}
		return n, failure
	}
	if c.read != c.Length {
		return n, fmt.Errorf("%w: %d of %d bytes", node.ErrInterrupted, c.read, c.Length)
	}
	return n, io.EOF
}

// From returns the names of the nodes that served the content; it is complete
// after Read has returned io.EOF.
func (c *Content) From() []string {
	var names []string
	_ = json.Unmarshal([]byte(c.response.Trailer.Get(headerFrom)), &names)
	return names
}

// Close ends the fetch, whether or not all was read.
func (c *Content) Close() error { return c.response.Body.Close() }
