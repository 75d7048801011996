package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dhtfs/dhtfs/node"
)

// Header fields and trailers of GET /v1/content.
const (
	headerFile  = "Dhtfs-File"  // the File document
	headerError = "Dhtfs-Error" // trailer: the Error document, when the content broke off
	headerFrom  = "Dhtfs-From"  // trailer: JSON list of the names of the nodes that served it
	headerLater = "Dhtfs-Later" // 1: the content is larger than was wanted inline, and none comes
)

// drainTime is how long the rest of a refused body is read and thrown away.
const drainTime = 10 * time.Second

// storeOptions are the parameters of a store but its size.
func storeOptions(p *params) node.StoreOptions {
	return node.StoreOptions{
		Op:       p.op("op"),
		Base:     p.uint64("base"),
		IfExists: parse(p, "if_exists", node.ParseIfExists),
		Mode:     fs.FileMode(p.octal("mode")),
		Modified: p.time("modified"),
		Replicas: p.small("replicas"),
		Quorum:   p.small("quorum"),
		Compress: p.text("compress"),
	}
}

func (h *Handler) store(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	name, o := p.name(), storeOptions(p)
	o.Size, o.Empty = r.ContentLength, r.ContentLength == 0
	return receive(w, r, func(body io.Reader) (any, error) {
		if p.err != nil {
			return nil, p.err
		}
		result, err := h.node.Store(r.Context(), name, body, o)
		if err != nil {
			return nil, h.describe(err)
		}
		return storedOf(result, h.node.Label), nil
	})
}

// receive answers a request that carries content with what consume makes of
// it. When consume gives up in the middle the answer goes out at once and the
// rest of the body is thrown away, so that a sender who is still writing gets
// to see it.
func receive(w http.ResponseWriter, r *http.Request, consume func(io.Reader) (any, error)) error {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // not there on HTTP/2, which needs no asking
	body := &countingReader{r: r.Body}
	doc, err := consume(body)
	if err == nil {
		return writeJSON(w, http.StatusOK, doc)
	}
	refusal := Describe(err)
	w.Header().Set("Connection", "close")
	if err := writeJSON(w, refusal.status(), refusal); err != nil {
		return err
	}
	if body.n > 0 && !body.ended {
		_ = control.Flush()
		_ = control.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return nil
}

// countingReader knows how much was read and whether that was all.
type countingReader struct {
	r     io.Reader
	n     int64
	ended bool
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.ended = c.ended || err != nil
	return n, err
}

func (h *Handler) fetch(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	name := p.name()
	inline := p.int64("inline")
	o := node.FetchOptions{Offset: p.int64("offset"), Length: p.int64("length"), Quorum: p.small("quorum"), Lazy: inline > 0}
	if p.err != nil {
		return p.err
	}
	fetched, err := h.node.Fetch(r.Context(), name, o)
	if err != nil {
		return err
	}
	defer func() { _ = fetched.Close() }()
	file := fileOf(fetched.File(), h.node.Label)
	if o.Offset > file.Size {
		return fmt.Errorf("%w: offset %d is after the end of %q, which has %d bytes", ErrUsage, o.Offset, name, file.Size)
	}
	length := file.Size - o.Offset
	if o.Length > 0 {
		length = min(length, o.Length)
	}
	if inline > 0 && length > inline {
		return sendLater(w, file)
	}
	if err := fetched.Begin(); err != nil {
		return err
	}
	return send(w, r, file, length, fetched, fetched.From)
}

// sendLater answers with the record alone.
func sendLater(w http.ResponseWriter, file File) error {
	doc, err := asciiJSON(file)
	if err != nil {
		return err
	}
	w.Header().Set(headerFile, doc)
	w.Header().Set(headerLater, "1")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// send streams length bytes of content so that one that breaks off is noticed:
// by a trailer if the caller reads trailers, by a broken connection otherwise.
func send(w http.ResponseWriter, r *http.Request, file File, length int64, content io.WriterTo, from func() []string) error {
	doc, err := asciiJSON(file)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set(headerFile, doc)
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", "attachment")
	trailers := strings.EqualFold(r.Header.Get("Te"), "trailers")
	if trailers {
		header.Set("Trailer", headerError+", "+headerFrom)
	} else {
		header.Set("Content-Length", fmt.Sprint(length))
	}
	n, err := content.WriteTo(w)
	if err == nil && n != length {
		err = fmt.Errorf("%w: %d of %d bytes", node.ErrInterrupted, n, length)
	}
	if err != nil && !trailers {
		panic(http.ErrAbortHandler) // the way net/http offers to break off an answer
	}
	if err != nil {
		doc, _ := asciiJSON(Describe(err))
		header.Set(headerError, doc)
		return nil
	}
	if trailers {
		doc, _ := asciiJSON(from())
		header.Set(headerFrom, doc)
	}
	return nil
}

// asciiJSON is doc as JSON that may stand in a header field.
func asciiJSON(doc any) (string, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case r < utf8.RuneSelf && r != 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String(), nil
}

// listLine is one line of GET /v1/files; exactly one field is set.
type listLine struct {
	File    *File        `json:"file,omitempty"`
	Name    string       `json:"name,omitempty"`
	Summary *ListSummary `json:"summary,omitempty"`
	Error   *Error       `json:"error,omitempty"`
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	o := node.ListOptions{Prefix: p.text("prefix"), Pattern: p.text("pattern"), Ring: p.flag("ring"), Names: p.flag("names")}
	if p.err != nil {
		return p.err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	sendLines(w, func(yield func(listLine) error) (ListSummary, error) {
		summary, err := h.node.List(r.Context(), o, func(f node.File) error {
			if o.Names {
				return yield(listLine{Name: f.Record.Name})
			}
			doc := fileOf(f, h.node.Label)
			return yield(listLine{File: &doc})
		})
		return summaryOf(summary), err
	})
	return nil
}

// sendLines writes a listing as lines; how it ended is the last one.
func sendLines(w io.Writer, list func(yield func(listLine) error) (ListSummary, error)) {
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	summary, err := list(func(line listLine) error { return encoder.Encode(line) })
	last := listLine{Summary: &summary}
	if err != nil {
		last = listLine{Error: Describe(err)}
	}
	_ = encoder.Encode(last) // a caller that is gone needs no answer
	_ = out.Flush()
}
