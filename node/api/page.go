package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"
)

//go:embed page.html
var pageSource string

//go:embed style.css
var styleSource []byte

// pageTemplate is the status page, the login form and the page of one sentence.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"bytes": func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
	"since": func(t time.Time) string { return humanize.Time(t) },
	"short": func(id string) string { return id[:min(8, len(id))] },
}).Parse(pageSource))

// page shows the ring and this node to a person.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "status", struct {
		Status
		Nodes []Member
	}{
		statusOf(h.node.Status(r.Context()), h.node.Label),
		nodesOf(h.node.Members(r.Context())).Nodes,
	})
}

func renderLogin(w http.ResponseWriter, ticket string) {
	render(w, http.StatusOK, "login", ticket)
}

func renderMessage(w http.ResponseWriter, status int, title, text string) {
	render(w, status, "message", struct{ Title, Text string }{title, text})
}

func render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleSource)
}
