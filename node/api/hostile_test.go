package api

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/hostile"
)

// requests shows the loopback port what a program without a token sends.
func requests() hostile.Decoder {
	h := New(Config{Token: "secret", Origin: "http://127.0.0.1:24161"}).Browser()
	d := hostile.Decoder{Name: "requests", Memory: 1 << 20}
	for _, s := range []string{
		"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost:24161\r\nCookie: dhtfs_session_24161=x\r\n\r\n",
		"POST /login HTTP/1.1\r\nHost: [::1]:1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nticket=x",
		"GET /login?ticket=%3Cscript%3E HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"PUT /v1/file?name=a HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Length: 1\r\n\r\nx",
	} {
		d.Examples = append(d.Examples, []byte(s))
	}
	open := []string{"/healthz", "/style.css", "/login"}
	d.Read = func(t testing.TB, data []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil || slices.Contains(open[:1], r.URL.Path) {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 300 && !slices.Contains(open, r.URL.Path) {
			t.Errorf("%s %s is answered with %d", r.Method, r.URL, w.Code)
		}
		if len(w.Result().Cookies()) > 0 || bytes.Contains(w.Body.Bytes(), []byte("<script")) {
			t.Errorf("%s %s: %v %s", r.Method, r.URL, w.Result().Cookies(), w.Body)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: no policy", r.Method, r.URL)
		}
	}
	return d
}

// queries reads the parameters of every call.
func queries() hostile.Decoder {
	return hostile.Decoder{
		Name: "queries",
		Examples: [][]byte{
			[]byte("name=a%2Fb&op=00112233445566778899aabbccddeeff&base=1&mode=0644&modified=2026-01-01T00:00:00Z&replicas=3&quorum=2"),
			[]byte("name=x&offset=1&length=2&unconfirmed=true&timeout=60s&ring=1"),
		},
		Read: func(t testing.TB, data []byte) {
			p := paramsOf(&http.Request{URL: &url.URL{RawQuery: string(data)}})
			name := p.name()
			offset, length := p.int64("offset"), p.int64("length")
			_, _, _, _ = p.op("op"), p.uint64("base"), p.time("modified"), p.duration("timeout")
			small, mode := p.small("replicas"), p.octal("mode")
			_, _ = p.flag("ring"), p.small("quorum")
			if p.err == nil && (filestore.ValidateName(name) != nil || offset < 0 || length < 0 || small < 0 || small > 1<<16 || mode > 0o7777) {
				t.Errorf("%q was taken", data)
			}
		},
	}
}

// bodies reads the documents that callers send.
func bodies() hostile.Decoder {
	return hostile.Decoder{
		Name: "bodies", Examples: [][]byte{[]byte(`{"ttl_seconds":3600,"uses":2}`), []byte(`{"timeout_seconds":60}`), {}},
		Read: func(_ testing.TB, data []byte) {
			for _, doc := range []any{new(inviteRequest), new(logoutRequest)} {
				r := &http.Request{ContentLength: int64(len(data)), Body: io.NopCloser(bytes.NewReader(data))}
				_ = readJSON(httptest.NewRecorder(), r, doc) // refused or not, but no panic
			}
			_ = Describe(io.ErrUnexpectedEOF)
		},
	}
}

func FuzzRequests(f *testing.F) { requests().Fuzz(f) }
func FuzzQueries(f *testing.F)  { queries().Fuzz(f) }
func FuzzBodies(f *testing.F)   { bodies().Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, requests(), queries(), bodies()) }
