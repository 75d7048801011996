package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// guarded is the loopback port's guards around a handler that says yes.
func guarded(h *Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.authorized(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("yes")) })))
	mux.HandleFunc("GET /login", h.loginForm)
	mux.HandleFunc("POST /login", h.login)
	return secureHeaders(loopbackHost(http.NewCrossOriginProtection().Handler(mux)))
}

func ask(h http.Handler, method, target string, prepare func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:24161"
	if prepare != nil {
		prepare(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestGuards(t *testing.T) {
	h := guarded(New(Config{Token: "secret"}))
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") }
	tests := map[string]struct {
		method, target string
		prepare        func(*http.Request)
		want           int
	}{
		"token":            {"GET", "/v1/status", bearer, 200},
		"no token":         {"GET", "/v1/status", nil, 401},
		"wrong token":      {"GET", "/v1/status", func(r *http.Request) { r.Header.Set("Authorization", "Bearer secre") }, 401},
		"empty token":      {"GET", "/v1/status", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		"page, no session": {"GET", "/", nil, 401},
		"bad session":      {"GET", "/", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "dhtfs_session_24161", Value: "x"}) }, 401},
		"localhost":        {"GET", "/v1/status", func(r *http.Request) { bearer(r); r.Host = "localhost:1" }, 200},
		"IPv6":             {"GET", "/v1/status", func(r *http.Request) { bearer(r); r.Host = "[::1]:1" }, 200},
		"rebound name":     {"GET", "/v1/status", func(r *http.Request) { bearer(r); r.Host = "evil.example:24161" }, 421},
		"like localhost":   {"GET", "/v1/status", func(r *http.Request) { bearer(r); r.Host = "localhost.evil.example" }, 421},
		"other site": {"POST", "/v1/shutdown", func(r *http.Request) {
			bearer(r)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		"other origin": {"POST", "/v1/shutdown", func(r *http.Request) {
			bearer(r)
			r.Header.Set("Origin", "http://127.0.0.1:9999")
		}, 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(h, test.method, test.target, test.prepare)
			assert.Equal(t, test.want, w.Code, w.Body)
			assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
		})
	}
}

func TestNoTokenLetsNobodyIn(t *testing.T) {
	w := ask(guarded(New(Config{})), "GET", "/v1/status", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") })
	assert.Equal(t, http.StatusUnauthorized, w.Code)
}

func TestLoginOnce(t *testing.T) {
	handler := New(Config{Token: "secret", Origin: "http://127.0.0.1:24161"})
	h := guarded(handler)
	w := httptest.NewRecorder()
	require.NoError(t, handler.newLogin(w, nil))
	_, ticket, ok := strings.Cut(w.Body.String(), "ticket=")
	require.True(t, ok)
	ticket, _, _ = strings.Cut(ticket, `"`)

	// Looking at the address does not use it up.
	w = ask(h, "GET", "/login?ticket="+ticket, nil)
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), ticket)
	assert.Empty(t, w.Result().Cookies())

	login := func(ticket string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{"ticket": {ticket}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host = "127.0.0.1:24161"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w = login(ticket)
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Len(t, w.Result().Cookies(), 1)
	cookie := w.Result().Cookies()[0]
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	assert.Equal(t, 200, ask(h, "GET", "/", func(r *http.Request) { r.AddCookie(cookie) }).Code)

	assert.Equal(t, http.StatusForbidden, login(ticket).Code, "twice")
	assert.Equal(t, http.StatusForbidden, login("").Code)
}

func TestSessionsEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newSessions(time.Now)
		ticket := s.newTicket()
		time.Sleep(ticketLife)
		_, ok := s.redeem(ticket)
		assert.False(t, ok, "an old ticket")

		session, ok := s.redeem(s.newTicket())
		require.True(t, ok)
		assert.True(t, s.valid(session))
		time.Sleep(sessionLife)
		assert.False(t, s.valid(session))

		first := s.newTicket()
		for range maxSecrets {
			time.Sleep(time.Millisecond)
			s.newTicket()
		}
		assert.Len(t, s.tickets, maxSecrets)
		_, ok = s.redeem(first)
		assert.False(t, ok, "the oldest makes room")
	})
}
