package api

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// The calls that work on an open file of the caller.

// storeFile stores the file that came with the call.
func (h *Handler) storeFile(w http.ResponseWriter, r *http.Request) error {
	f, err := takeFile(r)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	p := paramsOf(r)
	name, o := p.name(), storeOptions(p)
	if p.err != nil {
		return p.err
	}
	before, err := f.Stat()
	if err != nil {
		return Reading(err)
	}
	o.Size, o.Empty = before.Size(), before.Size() == 0
	content, err := NewSteadyReader(f, before, name)
	if err != nil {
		return err
	}
	result, err := h.node.Store(r.Context(), name, content, o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, storedOf(result, h.node.Label))
}

// save makes the file that came with the call a stored one's.
func (h *Handler) save(w http.ResponseWriter, r *http.Request) error {
	f, err := takeFile(r)
	if err != nil {
		return err
	}
	fetched, err := h.fetchTo(r)
	if err != nil {
		_ = f.Close()
		return err
	}
	defer func() { _ = fetched.Close() }()
	kept, err := fetched.Save(f)
	if target, ok := errors.AsType[*node.TargetError](err); ok {
		return Writing(target.Err)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, Saved{
		Schema: "dhtfs.saved/v1", File: fileOf(fetched.File(), h.node.Label), Kept: kept, From: append([]string{}, fetched.From()...),
	})
}

// fetchTo opens the fetch of a call whose file has some of the content already.
func (h *Handler) fetchTo(r *http.Request) (*node.Fetched, error) {
	p := paramsOf(r)
	name, version, have := p.name(), p.text("sha256"), p.int64("have")
	o := node.FetchOptions{Offset: have - have%filestore.ChunkSize, Quorum: p.small("quorum"), Lazy: true}
	if p.err != nil {
		return nil, p.err
	}
	fetched, err := h.node.Fetch(r.Context(), name, o)
	if err != nil {
		return nil, err
	}
	if now := fetched.File().Record.SHA256; version != "" && version != hex.EncodeToString(now[:]) {
		_ = fetched.Close()
		return nil, fmt.Errorf("fetch %q: %w: a new version was stored meanwhile", name, node.ErrInterrupted)
	}
	return fetched, nil
}
