package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/watch"
)

// Limits on what a caller can make the daemon hold in memory, and on how long it
// may take to send headers, and a body that is no content.
const (
	maxHeaderBytes = 64 << 10
	maxJSONBody    = 64 << 10
	readTimeout    = 10 * time.Second
)

// Config says what a Handler serves.
type Config struct {
	Node   *node.Node
	Watch  *watch.Service // nil: no folders can be watched
	Token  string         // bearer token of the loopback port; needed for Browser only
	Origin string         // of the loopback port, like http://127.0.0.1:24161; empty when there is none
	Stop   func()         // asked for by POST /v1/shutdown; must return at once
	Logger *slog.Logger   // nil: nothing is logged
}

// Handler answers the calls of this package. Safe for concurrent use.
type Handler struct {
	node     *node.Node
	watch    *watch.Service
	token    string
	origin   string
	stop     func()
	log      *slog.Logger
	sessions *sessions
}

// New returns a Handler; it starts nothing.
func New(c Config) *Handler {
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{
		node:     c.Node,
		watch:    c.Watch,
		token:    c.Token,
		origin:   c.Origin,
		stop:     c.Stop,
		log:      log,
		sessions: newSessions(time.Now),
	}
}

// Local serves the unix socket: whoever can open it may call everything, and look
// at the daemon's own work with go tool pprof.
func (h *Handler) Local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.routes())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// Browser serves the loopback port: the same calls and the status page, for
// holders of the token or of a session.
func (h *Handler) Browser() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.authorized(h.routes()))
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /style.css", serveStyle)
	mux.HandleFunc("GET /login", h.loginForm)
	mux.HandleFunc("POST /login", h.login)
	return secureHeaders(loopbackHost(http.NewCrossOriginProtection().Handler(mux)))
}

func (h *Handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /healthz", h.healthz)
	for pattern, call := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"GET /v1/status":          h.status,
		"GET /v1/nodes":           h.nodes,
		"GET /v1/ring":            h.ring,
		"GET /v1/fingers":         h.fingers,
		"GET /v1/locate":          h.locate,
		"GET /v1/files":           h.list,
		"GET /v1/file":            h.stat,
		"PUT /v1/file":            h.store,
		"DELETE /v1/file":         h.delete,
		"GET /v1/content":         h.fetch,
		"POST /v1/look":           h.look,
		"POST /v1/contents":       h.contents,
		"POST /v1/contents/store": h.storeMany,
		"POST /v1/store":          h.storeFile,
		"POST /v1/save":           h.save,
		"GET /v1/invites":         h.invites,
		"POST /v1/invites":        h.invite,
		"DELETE /v1/invites":      h.revokeInvite,
		"GET /v1/scrub":           h.scrub,
		"POST /v1/scrub":          h.changeScrub,
		"POST /v1/verify":         h.verify,
		"GET /v1/watch":           h.watchStatus,
		"POST /v1/watch":          h.watchAdd,
		"DELETE /v1/watch":        h.watchRemove,
		"POST /v1/nodes/promote":  h.promoteNode,
		"POST /v1/nodes/forget":   h.forgetNode,
		"POST /v1/nodes/revoke":   h.revokeNode,
		"POST /v1/login":          h.newLogin,
		"POST /v1/logout":         h.logout,
		"POST /v1/shutdown":       h.shutdown,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := call(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	return mux
}

// fail answers with err as a document.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	doc := h.describe(err)
	level := slog.LevelDebug
	if doc.ID == "internal" || doc.ID == "degraded" || doc.ID == "integrity" {
		level = slog.LevelWarn
	}
	h.log.Log(r.Context(), level, "call failed", "call", r.Method+" "+r.URL.Path, "name", r.URL.Query().Get("name"), "err", err)
	_ = writeJSON(w, doc.status(), doc)
}

// describe is Describe, with what the caller wants to know of a name that is taken.
func (h *Handler) describe(err error) *Error {
	doc := Describe(err)
	if exists, ok := errors.AsType[*node.ExistsError](err); ok {
		file := recordOf(exists.Record, h.node.Label)
		doc.Existing = &file
		doc.Message = exists.Error()
	}
	return doc
}

// writeJSON answers with doc as the whole body.
func writeJSON(w http.ResponseWriter, status int, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that is gone needs no answer
	return nil
}

// hurry gives the request's body a short time. Once the body is read, the time does
// not count any more.
func hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout)) // in tests there is no connection
}

// readJSON fills doc from the body; an empty body leaves it as it is.
func readJSON(w http.ResponseWriter, r *http.Request, doc any) error {
	if r.ContentLength == 0 {
		return nil
	}
	hurry(w)
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSONBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(doc); err != nil {
		return fmt.Errorf("%w: read the JSON body: %w", ErrUsage, err)
	}
	return nil
}
