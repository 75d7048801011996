package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

func (h *Handler) healthz(w http.ResponseWriter, r *http.Request) {
	if !h.node.Status(r.Context()).Ready {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (h *Handler) status(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	wait, timeout := p.text("wait"), p.duration("timeout")
	if p.err != nil {
		return p.err
	}
	switch wait {
	case "":
	case "ready":
		ctx := r.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		if err := h.node.WaitReady(ctx); err != nil {
			if ctx.Err() != nil && r.Context().Err() == nil {
				late := Describe(fmt.Errorf("%w after %s", node.ErrNotReady, timeout))
				late.Code = ExitError // the ring can be reached, it only takes longer
				return late
			}
			return err
		}
	default:
		return fmt.Errorf("%w: wait: %q is not \"ready\"", ErrUsage, wait)
	}
	doc := statusOf(h.node.Status(r.Context()), h.node.Label)
	doc.Watch = watchSummaryOf(h.folders())
	return writeJSON(w, http.StatusOK, doc)
}

func (h *Handler) nodes(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, nodesOf(h.node.Members(r.Context())))
}

func (h *Handler) ring(w http.ResponseWriter, r *http.Request) error {
	positions, summary := h.node.RingPositions(r.Context())
	s := summaryOf(summary)
	doc := Ring{
		Schema:    "dhtfs.ring/v1",
		Ring:      h.node.Status(r.Context()).Ring,
		Complete:  s.Complete,
		Nodes:     s.Nodes,
		Positions: make([]Position, 0, len(positions)),
	}
	for _, p := range positions {
		p.Fingers = nil
		position := positionOf(p.Position, h.node.Label)
		position.Name = p.Label
		doc.Positions = append(doc.Positions, position)
	}
	return writeJSON(w, http.StatusOK, doc)
}

func (h *Handler) fingers(w http.ResponseWriter, _ *http.Request) error {
	doc := Fingers{Schema: "dhtfs.fingers/v1", Positions: []Position{}}
	for _, p := range h.node.Fingers() {
		doc.Positions = append(doc.Positions, positionOf(p, h.node.Label))
	}
	return writeJSON(w, http.StatusOK, doc)
}

func (h *Handler) locate(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	var name string
	var key chord.ID
	if hex := p.text("key"); hex != "" {
		key = parse(p, "key", chord.ParseID)
	} else {
		name = p.name()
		key = chord.KeyOf(name)
	}
	if p.err != nil {
		return p.err
	}
	start := time.Now()
	lookup, group, err := h.node.Locate(r.Context(), key)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, locateOf(name, lookup, group, time.Since(start), h.node.Label))
}

func (h *Handler) stat(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	name := p.name()
	if p.err != nil {
		return p.err
	}
	file, err := h.node.Stat(r.Context(), name)
	if err != nil {
		doc := h.describe(err)
		if errors.Is(err, node.ErrNotFound) {
			doc.Changes = file.Record.Changes // of the tombstone, if there is one
		}
		return doc
	}
	return writeJSON(w, http.StatusOK, h.statOf(file))
}

func (h *Handler) statOf(file node.File) Stat {
	return Stat{
		Schema:  "dhtfs.stat/v1",
		File:    fileOf(file, h.node.Label),
		Holders: holdersOf(file.Holders), Conflicts: file.Conflicts,
	}
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	name, op, base := p.name(), p.op("op"), p.uint64("base")
	if p.err != nil {
		return p.err
	}
	if err := h.node.Delete(r.Context(), name, op, base); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) invites(w http.ResponseWriter, _ *http.Request) error {
	invites, err := h.node.Invites()
	if err != nil {
		return err
	}
	doc := Invites{Schema: "dhtfs.invites/v1", Invites: make([]InviteInfo, 0, len(invites))}
	for _, i := range invites {
		doc.Invites = append(doc.Invites, inviteOf(i))
	}
	return writeJSON(w, http.StatusOK, doc)
}

// inviteRequest is the body of POST /v1/invites.
type inviteRequest struct {
	TTL  float64 `json:"ttl_seconds"`
	Uses int     `json:"uses"`
}

func (h *Handler) invite(w http.ResponseWriter, r *http.Request) error {
	request := inviteRequest{TTL: (24 * time.Hour).Seconds(), Uses: 1}
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	if request.TTL <= 0 || request.Uses < 1 {
		return fmt.Errorf("%w: ttl_seconds and uses must be greater than zero", ErrUsage)
	}
	token, invite, err := h.node.Invite(seconds(request.TTL), request.Uses)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, Invite{Schema: "dhtfs.invite/v1", Token: token, InviteInfo: inviteOf(invite)})
}

func (h *Handler) revokeInvite(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("id")
	err := h.node.RevokeInvite(id)
	if errors.Is(err, trust.ErrInviteUnknown) {
		return fmt.Errorf("revoke %q: %w", id, ErrNoInvite)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logoutRequest is the body of POST /v1/logout.
type logoutRequest struct {
	Timeout float64 `json:"timeout_seconds"`
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) error {
	request := logoutRequest{Timeout: (10 * time.Minute).Seconds()}
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	// A caller that goes away does not stop a logout that has begun.
	report, err := h.node.Logout(context.WithoutCancel(r.Context()), seconds(request.Timeout))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, logoutOf(report))
}

func (h *Handler) shutdown(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusNoContent)
	h.stop()
	return nil
}

// seconds is s seconds, at most ten years.
func seconds(s float64) time.Duration {
	const most = 10 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}
