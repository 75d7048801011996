package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
)

// browse opens a page in a real browser and returns what it looks like when its
// scripts have done their work.
func browse(t *testing.T, url string) string {
	t.Helper()
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("SKIPPED, AND NOT CHECKED: there is no Chromium here that could play the hostile web page")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP evil.example 127.0.0.1", "--no-proxy-server",
		"--virtual-time-budget=20000", "--dump-dom", url)
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

// seen is a request that reached the daemon's port.
type seen struct {
	method, path string
	session      bool // it had the cookie of a session
	site         string
	code         int
}

// dashboard serves a node's dashboard on a loopback port and notes who asks. The
// page /begin, which only the test has, gives the browser a session and sends it on.
type dashboard struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func (d *dashboard) requests() []seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]seen{}, d.seen...)
}

func newDashboard(t *testing.T, h *Handler) *dashboard {
	d := &dashboard{}
	inner := h.Browser()
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begin" {
			session, ok := h.sessions.redeem(h.sessions.newTicket())
			if !ok {
				t.Error("no session")
			}
			http.SetCookie(w, sessionCookie(r, session))
			http.Redirect(w, r, r.URL.Query().Get("then"), http.StatusSeeOther)
			return
		}
		answer := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		cookie, err := r.Cookie(cookieName(r))
		inner.ServeHTTP(answer, r)
		d.mu.Lock()
		d.seen = append(d.seen, seen{
			r.Method, r.URL.Path, err == nil && h.sessions.valid(cookie.Value), r.Header.Get("Sec-Fetch-Site"), answer.code,
		})
		d.mu.Unlock()
	}))
	t.Cleanup(d.Close)
	return d
}

type codeWriter struct {
	http.ResponseWriter
	code int
}

func (w *codeWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hostilePage tries what a page can try, and writes what it got.
const hostilePage = `<!doctype html><title>nice page</title><pre id=out></pre>
<iframe id=frame src="%[1]s/"></iframe><iframe name=sink></iframe>
<form id=form method=post action="%[1]s/v1/shutdown" target=sink></form>
<script src="%[1]s/v1/status"></script><img id=img src="%[1]s/style.css">
<script>
const out = document.getElementById('out'), say = s => out.textContent += s + '\n';
async function attempt(name, f) { try { say(name + ': GOT ' + await f()) } catch (e) { say(name + ': refused') } }
(async () => {
  const all = {credentials: 'include'};
  await attempt('read status', async () => (await fetch('%[1]s/v1/status', all)).text());
  await attempt('read page', async () => (await fetch('%[1]s/', all)).text());
  await attempt('read content', async () => (await fetch('%[1]s/v1/content?name=secret', all)).text());
  await attempt('read blindly', async () => { const r = await fetch('%[1]s/v1/status', {...all, mode: 'no-cors'}); const s = await r.text(); if (!s) throw 0; return s });
  await attempt('read frame', async () => { const s = document.getElementById('frame').contentDocument.body.innerText; if (!s) throw 0; return s });
  await attempt('put', async () => (await fetch('%[1]s/v1/file?name=evil', {...all, method: 'PUT', body: 'x'})).status);
  await attempt('delete', async () => (await fetch('%[1]s/v1/file?name=secret', {...all, method: 'DELETE'})).status);
  await fetch('%[1]s/v1/shutdown', {...all, method: 'POST', mode: 'no-cors'}).catch(() => 0);
  await fetch('%[1]s/v1/invites', {...all, method: 'POST', mode: 'no-cors', body: '{"uses":9}'}).catch(() => 0);
  document.getElementById('form').submit();
  await new Promise(r => setTimeout(r, 2000));
  say('end');
})();
</script>`

// A page of another origin, in a browser that is logged in, reads nothing and changes
// nothing, whether it is on another port of the same host, whose requests carry the
// cookie, or on another site.
func TestAHostilePageGetsNothing(t *testing.T) {
	h, client, stopped := startNode(t)
	_, err := client.Store(t.Context(), "secret", strings.NewReader("the secret content"), node.StoreOptions{})
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "evil.example"} {
		t.Run(host, func(t *testing.T) {
			d := newDashboard(t, h)
			evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = fmt.Fprintf(w, hostilePage, d.URL)
			}))
			defer evil.Close()
			_, port, _ := net.SplitHostPort(evil.Listener.Addr().String())
			dom := browse(t, d.URL+"/begin?then=http://"+net.JoinHostPort(host, port)+"/")
			got, _, _ := strings.Cut(dom, "</pre>")
			assert.Equal(t, 7, strings.Count(got, ": refused"), "%s", got)
			assert.Contains(t, got, "end\n", "the page did all it wanted")
			assert.NotContains(t, got, "GOT")
			withSession := 0
			for _, r := range d.requests() {
				t.Log(r)
				if r.session {
					withSession++
				}
				assert.False(t, r.method != http.MethodGet && r.code < 400, "%v", r)
			}
			if host == "127.0.0.1" {
				assert.Positive(t, withSession, "the cookie went along: it is not what protects")
			} else {
				assert.Zero(t, withSession, "the cookie is not for other sites")
			}
		})
	}
	select {
	case <-stopped:
		t.Error("the daemon was stopped by a web page")
	default:
	}
	_, err = client.Stat(t.Context(), "evil")
	require.ErrorIs(t, err, node.ErrNotFound)
	_, err = client.Stat(t.Context(), "secret")
	require.NoError(t, err)
	invites, err := client.Invites(t.Context())
	require.NoError(t, err)
	assert.Empty(t, invites.Invites)
}

// A name that an attacker has made to point at this machine is same-origin with the
// attacker's page, and is not served.
func TestAReboundNameIsNotServed(t *testing.T) {
	h, _, _ := startNode(t)
	d := newDashboard(t, h)
	dom := browse(t, strings.Replace(d.URL, "127.0.0.1", "evil.example", 1)+"/")
	assert.Contains(t, dom, "this host name is not served here")
	for _, r := range d.requests() {
		assert.Equal(t, http.StatusMisdirectedRequest, r.code, "%v", r)
	}
	require.NotEmpty(t, d.requests())
}

// The dashboard opens for a session, with its style; and a script that got into a page
// would not run.
func TestTheDashboardInABrowser(t *testing.T) {
	h, _, _ := startNode(t)
	d := newDashboard(t, h)
	dom := browse(t, d.URL+"/begin?then=/")
	assert.Contains(t, dom, "alder")
	styled := false
	for _, r := range d.requests() {
		styled = styled || r.path == "/style.css" && r.code == http.StatusOK
	}
	assert.True(t, styled)

	const page = `<!doctype html><p id=p>still</p><script>document.getElementById('p').textContent = 'ran'</script>
		<img src=x onerror="document.getElementById('p').textContent = 'ran'">`
	for policy, want := range map[bool]string{true: "still", false: "ran"} { // without it, it does run
		var served http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(page))
		})
		if policy {
			served = secureHeaders(served)
		}
		s := httptest.NewServer(served)
		assert.Contains(t, browse(t, s.URL), ">"+want+"</p>")
		s.Close()
	}
}
