package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/dhtfs/dhtfs/node"
)

// Look asks what is stored under up to MaxNames names; the answer is in their order.
func (c *Client) Look(ctx context.Context, names []string) ([]Looked, error) {
	var doc looks
	if err := c.call(ctx, http.MethodPost, "/v1/look", nil, manyRequest{Names: names}, &doc); err != nil {
		return nil, err
	}
	if len(doc.Names) != len(names) {
		return nil, fmt.Errorf("%w: %d answers about %d names", ErrInternal, len(doc.Names), len(names))
	}
	for i, l := range doc.Names {
		if l.File == nil && l.Error == nil && !l.Free {
			return nil, fmt.Errorf("%w: no answer about %q", ErrInternal, names[i])
		}
	}
	return doc.Names, nil
}

// Put is one file of many to be stored. Options' Size is the content's, and of its
// other fields only Op, Base, Mode and Modified are each file's own.
type Put struct {
	Name    string
	Content []byte // at most MaxInline bytes
	Options node.StoreOptions
}

// StoreMany stores up to MaxNames files, 8 MiB of content together, with the common options
// of shared. The answer is in their order; what is wrong with one of them is in its
// Error. The request's body is read through what wrap makes of it.
func (c *Client) StoreMany(ctx context.Context, files []Put, shared node.StoreOptions, wrap func(io.Reader) io.Reader) ([]StoredBriefly, error) {
	var body bytes.Buffer
	for _, f := range files {
		line, err := json.Marshal(putLine{
			Name: f.Name, Op: f.Options.Op, Base: f.Options.Base, Size: int64(len(f.Content)),
			Mode: uint32(f.Options.Mode.Perm()), Modified: f.Options.Modified.UTC(),
		})
		if err != nil {
			return nil, err
		}
		body.Write(append(line, '\n'))
		body.Write(f.Content)
	}
	size := int64(body.Len())
	response, err := c.do(ctx, http.MethodPost, "/v1/contents/store", url.Values{
		"if_exists": {shared.IfExists.String()},
		"compress":  {shared.Compress},
		"replicas":  {strconv.Itoa(shared.Replicas)},
		"quorum":    {strconv.Itoa(shared.Quorum)},
	}, func(r *http.Request) { r.ContentLength = size }, wrap(&body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var doc storedMany
	if err := json.NewDecoder(response.Body).Decode(&doc); err != nil {
		return nil, lost(ctx, err)
	}
	if len(doc.Items) != len(files) {
		return nil, fmt.Errorf("%w: %d answers about %d files", ErrInternal, len(doc.Items), len(files))
	}
	return doc.Items, nil
}

// Got is one content of many, or why it does not come.
type Got struct {
	Index   int    // in the list of names
	File    File   // only what gotFile has
	Content []byte // all of it, unless Later
	Later   bool   // none comes, as there is more than was wanted inline
	From    []string
	Error   *Error
}

// FetchMany fetches up to MaxNames files of up to inline bytes each and hands them
// over in the order in which they come; a content is yield's until it returns. An error of
// yield ends it.
func (c *Client) FetchMany(ctx context.Context, names []string, o node.FetchOptions, inline int64, yield func(Got) error) error {
	raw, err := json.Marshal(manyRequest{Names: names, Inline: inline, Quorum: o.Quorum})
	if err != nil {
		return err
	}
	response, err := c.do(ctx, http.MethodPost, "/v1/contents", nil, nil, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	in := bufio.NewReaderSize(response.Body, 64<<10)
	var content []byte // of one at a time
	for {
		g, end, err := readGot(in, names, content)
		switch {
		case err != nil && (errors.Is(err, ErrInternal)):
			return err
		case err != nil:
			return lost(ctx, err)
		case end:
			return nil
		}
		if err := yield(g); err != nil {
			return err
		}
		content = g.Content[:0]
	}
}

// readGot reads a content, into the room of an earlier one, and the line before it; end
// when that was the last.
func readGot(in *bufio.Reader, names []string, room []byte) (g Got, end bool, err error) {
	raw, err := in.ReadSlice('\n')
	if err != nil {
		return g, false, err
	}
	var line gotLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return g, false, fmt.Errorf("%w: read the answer: %w", ErrInternal, err)
	}
	if line.End {
		return g, true, nil
	}
	if line.Index < 0 || line.Index >= len(names) || line.Length < 0 || line.Length > MaxInline || line.File == nil && line.Error == nil {
		return g, false, fmt.Errorf("%w: an answer that makes no sense", ErrInternal)
	}
	g = Got{Index: line.Index, Later: line.Later, From: line.From, Error: line.Error}
	if f := line.File; f != nil {
		g.File = File{
			Name: names[line.Index], Size: f.Size, SHA256: f.SHA256, Mode: f.Mode, Modified: f.Modified,
			Confirmed: f.Confirmed, Forced: f.Forced,
		}
	}
	g.Content = slices.Grow(room, int(line.Length))[:line.Length]
	_, err = io.ReadFull(in, g.Content)
	return g, false, err
}
