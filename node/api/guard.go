package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// loopbackHost refuses requests that were sent to another name than a
// loopback one: a web page that has its own name point to 127.0.0.1.
func loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		ip := net.ParseIP(host)
		if !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this host name is not served here", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secureHeaders lets a page load its own style sheet, send its own forms and nothing else.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// authorized lets through who has the bearer token or a session.
func (h *Handler) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && h.token != "" && sameSecret(bearer, h.token) {
			next.ServeHTTP(w, r)
			return
		}
		if cookie, err := r.Cookie(cookieName(r)); err == nil && h.sessions.valid(cookie.Value) {
			next.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			w.Header().Set("WWW-Authenticate", "Bearer")
			h.fail(w, r, ErrToken)
			return
		}
		renderMessage(w, http.StatusUnauthorized, "Not logged in",
			"To open this page run “dhtfs status --login” on this machine and follow the address it prints.")
	})
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// cookieName has the port in it: browsers share cookies between the ports of a host.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "80"
	}
	return "dhtfs_session_" + port
}

func sessionCookie(r *http.Request, session string) *http.Cookie {
	return &http.Cookie{
		Name:     cookieName(r),
		Value:    session,
		Path:     "/",
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
}

// Login is a one-time address that opens the status page in a browser.
type Login struct {
	Schema string `json:"schema"` // dhtfs.login/v1
	URL    string `json:"url"`
}

func (h *Handler) newLogin(w http.ResponseWriter, _ *http.Request) error {
	if h.origin == "" {
		return fmt.Errorf("%w: the dashboard is switched off", ErrUsage)
	}
	return writeJSON(w, http.StatusOK, Login{
		Schema: "dhtfs.login/v1",
		URL:    h.origin + "/login?ticket=" + h.sessions.newTicket(),
	})
}

// loginForm changes nothing, so that a browser which looks at the address in
// advance does not use it up.
func (h *Handler) loginForm(w http.ResponseWriter, r *http.Request) {
	renderLogin(w, r.URL.Query().Get("ticket"))
}

var errTicket = errors.New("the address was used before or is too old")

func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	hurry(w) // anybody may call this one
	r.Body = http.MaxBytesReader(w, r.Body, maxJSONBody)
	session, ok := h.sessions.redeem(r.PostFormValue("ticket"))
	if !ok {
		renderMessage(w, http.StatusForbidden, "Not logged in", "Sorry, "+errTicket.Error()+
			". Run “dhtfs status --login” for a new one.")
		return
	}
	http.SetCookie(w, sessionCookie(r, session))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
