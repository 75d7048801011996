//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requests sends the target's HTTP port a request, with its token or without.
func requests(method, path, host string, token bool, headers ...string) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		at := s.target.Daemon(t).HTTP
		conn, err := net.DialTimeout("tcp", at, time.Minute)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		if host == "" {
			host = at
		}
		if token {
			secret, err := os.ReadFile(filepath.Join(s.target.Home, "http.token"))
			require.NoError(t, err)
			headers = append(headers, "Authorization: Bearer "+strings.TrimSpace(string(secret)))
		}
		_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n%s\r\n\r\n", method, path, host,
			strings.Join(append(headers, "X: x"), "\r\n"))
		if err != nil {
			return wasClosed + ": " + err.Error()
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return wasClosed + ": " + err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body) // what follows a refusal may be lost
		return fmt.Sprintf("%d %s", response.StatusCode, body[:min(len(body), 200)])
	}
}

// webPages are attacks of programs on the machine and of pages in its browser.
func webPages() []attack {
	const page = "http://evil.example"
	return []attack{
		{"a request with the token", requests("GET", "/v1/status", "", true), "200", ""}, // so that the others mean something
		{"a request without the token", requests("GET", "/v1/status", "", false), "401", ""},
		{"a name that was made to point here", requests("GET", "/v1/status", "evil.example:24161", true), "421", ""},
		{"a change asked for by another site", requests("POST", "/v1/shutdown", "", true, "Origin: "+page, "Sec-Fetch-Site: cross-site"), "403", ""},
		{"a change asked for by another port", requests("POST", "/v1/shutdown", "", true, "Origin: http://127.0.0.1:1", "Sec-Fetch-Site: same-site"), "403", ""},
		{"a file removed by another site", requests("DELETE", "/v1/file?name=big", "", true, "Origin: "+page), "403", ""},
		{"a change by GET", requests("GET", "/v1/shutdown", "", true), "405", ""},
		{"a preflight", requests("OPTIONS", "/v1/file?name=big", "", false, "Origin: "+page, "Access-Control-Request-Method: DELETE"), "4", ""},
		{"giant headers", func(t testing.TB, s *siege) string {
			answer := requests("GET", "/v1/status", "", true, "Y: "+strings.Repeat("y", 1<<20))(t, s)
			return strings.Replace(answer, "431 ", wasClosed, 1) // the answer may be lost, as more comes than is read
		}, wasClosed, ""},
		{"the socket of another user", func(t testing.TB, s *siege) string {
			info, err := os.Stat(s.target.Daemon(t).Socket)
			require.NoError(t, err)
			return info.Mode().String()
		}, "Srw-------", ""},
	}
}
