package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// The calls that are about many names. Each name is dealt with as by the call that
// is about one, and one that fails does not hurt the others.

// Bounds of one call about many names.
const (
	MaxNames   = 512      // names
	MaxInline  = 64 << 10 // bytes of one content
	maxContent = 8 << 20  // bytes of all contents that are stored by one call
	maxLine    = 16 << 10 // of a line that goes before a content
	maxBody    = maxContent + MaxNames*maxLine
	maxNames   = MaxNames * 2 << 10 // bytes of a list of names
)

// manyRequest is the body of POST /v1/look and POST /v1/contents.
type manyRequest struct {
	Names  []string `json:"names"`
	Inline int64    `json:"inline,omitempty"`
	Quorum int      `json:"quorum,omitempty"`
}

// Looked is what the ring has under a name, for somebody who wants to store it;
// exactly one of Stored, Free and Error is set.
type Looked struct {
	Stored  bool   `json:"stored,omitempty"`
	File    *Stat  `json:"file,omitempty"` // with Stored
	Free    bool   `json:"free,omitempty"`
	Changes uint64 `json:"changes,omitempty"` // counter of all changes of the name
	Error   *Error `json:"error,omitempty"`
}

// looks is what POST /v1/look answers, in the order of the names.
type looks struct {
	Schema string   `json:"schema"` // dhtfs.look/v1
	Names  []Looked `json:"names"`
}

func readNames(w http.ResponseWriter, r *http.Request) (manyRequest, error) {
	var request manyRequest
	hurry(w)
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxNames))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return request, fmt.Errorf("%w: read the JSON body: %w", ErrUsage, err)
	}
	if len(request.Names) > MaxNames {
		return request, fmt.Errorf("%w: %d names in one call, at most %d", ErrUsage, len(request.Names), MaxNames)
	}
	return request, nil
}

func (h *Handler) look(w http.ResponseWriter, r *http.Request) error {
	request, err := readNames(w, r)
	if err != nil {
		return err
	}
	doc := looks{Schema: "dhtfs.look/v1", Names: make([]Looked, len(request.Names))}
	var all sync.WaitGroup
	for i, there := range h.node.Vacant(r.Context(), request.Names) {
		if there.Free {
			doc.Names[i] = Looked{Free: true, Changes: there.Changes}
			continue
		}
		name := request.Names[i]
		all.Go(func() {
			file, err := h.node.Stat(r.Context(), name)
			switch {
			case err == nil:
				there := h.statOf(file)
				doc.Names[i] = Looked{Stored: true, File: &there, Changes: there.Changes}
			case errors.Is(err, node.ErrNotFound):
				doc.Names[i] = Looked{Free: true, Changes: file.Record.Changes}
			default:
				doc.Names[i] = Looked{Error: h.describe(err)}
			}
		})
	}
	all.Wait()
	return writeJSON(w, http.StatusOK, doc)
}

// putLine goes before each content in the body of POST /v1/contents/store.
type putLine struct {
	Name     string         `json:"name"`
	Op       filestore.OpID `json:"op"`
	Base     uint64         `json:"base"`
	Size     int64          `json:"size"` // bytes of content that follow
	Mode     uint32         `json:"mode"`
	Modified time.Time      `json:"modified,omitzero"`
}

// StoredBriefly is Stored without what the caller knows; Error is set alone.
type StoredBriefly struct {
	Action  string    `json:"action,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Sent    int64     `json:"sent,omitempty"`
	Copies  int       `json:"copies,omitempty"`
	Want    int       `json:"want,omitempty"`
	Nodes   []string  `json:"nodes,omitempty"` // names of those that confirmed, the owner first
	Lacking []Lacking `json:"lacking,omitempty"`
	Error   *Error    `json:"error,omitempty"`
}

// storedMany is what POST /v1/contents/store answers, in the order of the body.
type storedMany struct {
	Schema string          `json:"schema"` // dhtfs.stored.many/v1
	Items  []StoredBriefly `json:"items"`
}

func (h *Handler) storeMany(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	options := storeOptions(p)
	return receive(w, r, func(body io.Reader) (any, error) {
		if p.err != nil {
			return nil, p.err
		}
		in := bufio.NewReaderSize(http.MaxBytesReader(w, io.NopCloser(body), maxBody), maxLine)
		var files []node.Put
		total := int64(0)
		for {
			line, content, err := readPut(in)
			if errors.Is(err, io.EOF) {
				break
			}
			total += line.Size
			if err == nil && (len(files) == MaxNames || total > maxContent) {
				err = fmt.Errorf("%w: more than %d files or %d bytes of content in one call", ErrUsage, MaxNames, maxContent)
			}
			if err != nil {
				return nil, err
			}
			files = append(files, line.put(content, options))
		}
		doc := storedMany{Schema: "dhtfs.stored.many/v1", Items: []StoredBriefly{}}
		for _, r := range h.node.StoreMany(r.Context(), files) {
			if r.Err != nil {
				doc.Items = append(doc.Items, StoredBriefly{Error: h.describe(r.Err)})
			} else {
				doc.Items = append(doc.Items, storedOf(r.StoreResult, h.node.Label).Briefly())
			}
		}
		return doc, nil
	})
}

// put is the file that a line tells of, with the options that are common to all.
func (l *putLine) put(content []byte, o node.StoreOptions) node.Put {
	o.Op, o.Base = l.Op, l.Base
	o.Mode, o.Modified = fs.FileMode(l.Mode).Perm(), l.Modified
	return node.Put{Name: l.Name, Content: content, Options: o}
}

// readPut reads one content and the line before it; io.EOF when there is no more.
func readPut(in *bufio.Reader) (line putLine, content []byte, err error) {
	raw, err := in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(raw) == 0 {
		return line, nil, io.EOF
	}
	if err == nil {
		err = json.Unmarshal(raw, &line)
	}
	if err == nil && (line.Size < 0 || line.Size > MaxInline) {
		err = fmt.Errorf("%d bytes of content", line.Size)
	}
	if err == nil {
		content = make([]byte, line.Size)
		_, err = io.ReadFull(in, content)
	}
	if err != nil {
		return line, nil, fmt.Errorf("%w: read the files of the body: %s", ErrUsage, err.Error())
	}
	return line, content, nil
}

// Briefly is what of s a caller does not know already.
func (s Stored) Briefly() StoredBriefly {
	brief := StoredBriefly{
		Action: s.Action, SHA256: s.File.SHA256, Size: s.File.Size, Sent: s.Sent,
		Copies: s.Copies, Want: s.Want, Lacking: s.Lacking,
	}
	for _, holder := range s.Nodes {
		brief.Nodes = append(brief.Nodes, holder.Name)
	}
	return brief
}

// gotLine goes before each content in the answer of POST /v1/contents. The last one
// has End alone, so that an answer that broke off cannot pass for a whole one.
type gotLine struct {
	Index  int      `json:"index"`            // in the list of names
	File   *gotFile `json:"file,omitempty"`   // nil with Error
	Length int64    `json:"length,omitempty"` // bytes that follow
	Later  bool     `json:"later,omitempty"`  // none do, as there are more than were wanted inline
	From   []string `json:"from,omitempty"`
	Error  *Error   `json:"error,omitempty"`
	End    bool     `json:"end,omitempty"`
}

// gotFile is what somebody who fetches a file needs of File.
type gotFile struct {
	Size      int64     `json:"size"`
	SHA256    string    `json:"sha256"`
	Mode      string    `json:"mode"`
	Modified  time.Time `json:"modified,omitzero"`
	Confirmed bool      `json:"confirmed"`
	Forced    bool      `json:"forced,omitempty"`
}

func gotFileOf(f File) *gotFile {
	return &gotFile{
		Size: f.Size, SHA256: f.SHA256, Mode: f.Mode, Modified: f.Modified, Confirmed: f.Confirmed, Forced: f.Forced,
	}
}

// got is a content, or why there is none.
type got struct {
	line    gotLine
	content []byte
}

func (h *Handler) contents(w http.ResponseWriter, r *http.Request) error {
	request, err := readNames(w, r)
	if err != nil {
		return err
	}
	inline := min(max(request.Inline, 0), MaxInline)
	w.Header().Set("Content-Type", "application/octet-stream")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	results := make(chan got)
	go func() {
		defer close(results)
		o := node.FetchOptions{Quorum: request.Quorum, Lazy: true}
		h.node.FetchMany(ctx, request.Names, o, inline, func(i int, f *node.Fetched, err error) {
			g := h.gotOf(f, inline, err)
			g.line.Index = i
			select {
			case results <- g:
			case <-ctx.Done():
			}
		})
	}()
	err = sendAll(w, results)
	cancel()
	for range results { //nolint:revive // the goroutines end before the call does
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the way net/http offers to break off an answer
	}
	return nil
}

// sendAll writes what was got as it comes, and that it is all.
func sendAll(w io.Writer, results <-chan got) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for g := range results {
		if err := writeLine(out, g.line); err != nil {
			return err
		}
		if _, err := out.Write(g.content); err != nil {
			return err
		}
	}
	if err := writeLine(out, gotLine{End: true}); err != nil {
		return err
	}
	return out.Flush()
}

func writeLine(out *bufio.Writer, doc any) error {
	line, err := json.Marshal(doc)
	if err == nil {
		_, err = out.Write(append(line, '\n'))
	}
	return err
}

// gotOf is what came of the fetch of one of many files.
func (h *Handler) gotOf(fetched *node.Fetched, inline int64, err error) got {
	if err != nil {
		return got{line: gotLine{Error: h.describe(err)}}
	}
	defer func() { _ = fetched.Close() }()
	doc := fileOf(fetched.File(), h.node.Label)
	g := got{line: gotLine{File: gotFileOf(doc)}}
	if doc.Size > inline {
		g.line.Later = true
		return g
	}
	if g.content, err = fetched.ReadAll(); err != nil {
		return got{line: gotLine{Error: h.describe(err)}}
	}
	g.line.Length, g.line.From = doc.Size, slices.Clone(fetched.From())
	return g
}
