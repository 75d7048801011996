package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/dhtfs/dhtfs/node"
)

// Scrub is what GET and POST /v1/scrub answer.
type Scrub struct {
	Schema  string     `json:"schema"`            // dhtfs.scrub/v1
	State   string     `json:"state"`             // running, waiting, paused or halted
	Pass    *ScrubPass `json:"pass,omitempty"`    // under way
	OfFiles int        `json:"of_files"`          // held now
	OfBytes int64      `json:"of_bytes"`          // held now
	Rate    float64    `json:"bytes_per_second"`  // of the pass under way
	Limit   int64      `json:"limit"`             // bytes a second
	Next    *time.Time `json:"next,omitempty"`    // when it is waiting
	Last    *ScrubPass `json:"last,omitempty"`    // the pass that ended last
	Found   int        `json:"damage_found"`      // since the daemon was started, by whatever read it
	Healed  int        `json:"damage_healed"`     // of that
	Open    int        `json:"damage_not_healed"` // yet
}

// ScrubPass is one reading of everything.
type ScrubPass struct {
	Begun   time.Time  `json:"begun"`
	Ended   *time.Time `json:"ended,omitempty"`
	Files   int        `json:"files"`
	Bytes   int64      `json:"bytes"`
	Damaged int        `json:"damaged"`
	Healed  int        `json:"healed"`
}

// VerifyRequest is the body of POST /v1/verify.
type VerifyRequest struct {
	Pattern string `json:"pattern"`
	Repair  bool   `json:"repair"`
	Rate    int64  `json:"bytes_per_second"` // 0: no limit
}

// Verified is a file that is not, or was not, as it should be.
type Verified struct {
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	State string   `json:"state"` // damaged, missing or healed
	From  []string `json:"from,omitempty"`
	Error string   `json:"error,omitempty"`
}

// VerifyProgress is how far a verification is, and at its end what it came to.
type VerifyProgress struct {
	Files   int   `json:"files"`
	OfFiles int   `json:"of_files"`
	Bytes   int64 `json:"bytes"`
	OfBytes int64 `json:"of_bytes"`
	Damaged int   `json:"damaged"` // and not healed
	Missing int   `json:"missing"` // and not healed
	Healed  int   `json:"healed"`
}

// verifyLine is one line of POST /v1/verify; exactly one field is set.
type verifyLine struct {
	Progress *VerifyProgress `json:"progress,omitempty"`
	File     *Verified       `json:"file,omitempty"`
	Summary  *VerifyProgress `json:"summary,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

func scrubOf(s node.ScrubStatus) Scrub {
	doc := Scrub{
		Schema: "dhtfs.scrub/v1", State: string(s.State), Pass: passOf(s.Pass), OfFiles: s.OfFiles, OfBytes: s.OfBytes,
		Rate: s.Rate, Limit: s.Limit, Last: passOf(s.Last), Found: s.Found, Healed: s.Healed, Open: s.Open,
	}
	if !s.Next.IsZero() {
		next := s.Next.UTC()
		doc.Next = &next
	}
	return doc
}

func passOf(p node.ScrubPass) *ScrubPass {
	if p.Begun.IsZero() {
		return nil
	}
	doc := &ScrubPass{Begun: p.Begun.UTC(), Files: p.Files, Bytes: p.Bytes, Damaged: p.Damaged, Healed: p.Healed}
	if !p.Ended.IsZero() {
		ended := p.Ended.UTC()
		doc.Ended = &ended
	}
	return doc
}

func verifiedOf(v node.Verified) Verified {
	doc := Verified{Name: v.Name, Size: v.Size, State: string(v.State), From: v.From}
	if v.Err != nil {
		doc.Error = oneLine(v.Err)
	}
	return doc
}

func (h *Handler) scrub(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, scrubOf(h.node.Scrub()))
}

// scrubRequest is the body of POST /v1/scrub.
type scrubRequest struct {
	Action string `json:"action"` // start or pause
}

func (h *Handler) changeScrub(w http.ResponseWriter, r *http.Request) error {
	var request scrubRequest
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	var err error
	switch request.Action {
	case "start":
		err = h.node.ScrubStart()
	case "pause":
		err = h.node.ScrubPause()
	default:
		err = fmt.Errorf("%w: action: %q is not one of start, pause", ErrUsage, request.Action)
	}
	if err != nil {
		return err
	}
	return h.scrub(w, r)
}

// progressEvery is how often a verification says how far it is.
const progressEvery = 200 * time.Millisecond

func (h *Handler) verify(w http.ResponseWriter, r *http.Request) error {
	var request VerifyRequest
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	send := func(line verifyLine) error {
		if err := encoder.Encode(line); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		return control.Flush()
	}
	told := time.Time{}
	o := node.VerifyOptions{Pattern: request.Pattern, Repair: request.Repair, Rate: request.Rate}
	sum, err := h.node.Verify(r.Context(), o, func(v node.Verified, p node.VerifyProgress) error {
		if v.State != "" && v.State != node.VerifiedOK {
			file := verifiedOf(v)
			if err := send(verifyLine{File: &file}); err != nil {
				return err
			}
		}
		if time.Since(told) < progressEvery {
			return nil
		}
		told = time.Now()
		progress := VerifyProgress(p)
		return send(verifyLine{Progress: &progress})
	})
	summary := VerifyProgress(sum)
	last := verifyLine{Summary: &summary}
	if err != nil {
		last = verifyLine{Error: h.describe(err)}
	}
	_ = send(last) // a caller that is gone needs no answer
	return nil
}

// Scrub asks how far scrubbing is.
func (c *Client) Scrub(ctx context.Context) (Scrub, error) {
	return get[Scrub](ctx, c, "/v1/scrub", nil)
}

// ScrubStart begins a scrub, or goes on with one that was paused.
func (c *Client) ScrubStart(ctx context.Context) (Scrub, error) { return c.changeScrub(ctx, "start") }

// ScrubPause stops scrubbing until it is started again.
func (c *Client) ScrubPause(ctx context.Context) (Scrub, error) { return c.changeScrub(ctx, "pause") }

func (c *Client) changeScrub(ctx context.Context, action string) (doc Scrub, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/scrub", nil, scrubRequest{Action: action}, &doc)
	return doc, err
}

// Verify has the node read back what it holds. file hears of each file that is
// not, or was not, as it should be, and progress now and then how far it is.
func (c *Client) Verify(ctx context.Context, o VerifyRequest, file func(Verified) error, progress func(VerifyProgress)) (VerifyProgress, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return VerifyProgress{}, err
	}
	response, err := c.do(ctx, http.MethodPost, "/v1/verify", nil, nil, bytes.NewReader(body))
	if err != nil {
		return VerifyProgress{}, err
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	for {
		var line verifyLine
		if err := decoder.Decode(&line); err != nil {
			return VerifyProgress{}, lost(ctx, err)
		}
		switch {
		case line.Error != nil:
			return VerifyProgress{}, line.Error
		case line.Summary != nil:
			return *line.Summary, nil
		case line.Progress != nil:
			progress(*line.Progress)
		case line.File != nil:
			if err := file(*line.File); err != nil {
				return VerifyProgress{}, err
			}
		}
	}
}
