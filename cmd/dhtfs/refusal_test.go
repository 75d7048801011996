//go:build unix

package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// complaint is what a person reads of a command that failed: one line of error
// and one with what to try.
var complaint = regexp.MustCompile(`^error: [^\n]+\nhint: [^\n]+\n$`)

// refuse runs a command that must fail, for people and for programs.
func refuse(t *testing.T, code int, id, stdin string, args ...string) {
	t.Helper()
	result := proctest.Start(t, strings.NewReader(stdin), nil, args...).Wait(t)
	assert.Equal(t, code, result.Code, "%s", result)
	assert.Regexp(t, complaint, string(result.Stderr), "%s", result)
	assert.Empty(t, result.Stdout, "%s", result)
	t.Log(strings.TrimSpace(string(result.Stderr)))
	for _, jargon := range []string{"deadline exceeded", "reset by peer", "goroutine", "EOF", "dial tcp", "\\n", "\x1b"} {
		assert.NotContains(t, string(result.Stderr), jargon)
	}
	failure := proctest.Start(t, strings.NewReader(stdin), nil, append([]string{"--json"}, args...)...).Wait(t).Failure(t)
	assert.Equal(t, code, failure.Code)
	assert.Equal(t, id, failure.ID)
	assert.NotEmpty(t, failure.Message)
	_, hint, _ := strings.Cut(strings.TrimSpace(string(result.Stderr)), "\nhint: ")
	assert.NotEmpty(t, hint)
	assert.Equal(t, hint, failure.Hint)
}

func TestRefusals(t *testing.T) {
	ring := proctest.NewRing(t, 2)
	n, other := ring.Nodes[0], ring.Nodes[1]
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, 100)
	writeFile(t, filepath.Join(dir, "folder", "file"), 100)
	writeFile(t, filepath.Join(dir, "occupied"), 50)
	n.Run(t, "store", file).OK(t)
	unused := t.TempDir()

	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = busy.Close() }()
	invite := func() string { return string(n.Run(t, "invite", "--print", "token").OK(t).Stdout) }
	used := invite()
	guest := &proctest.Node{Name: "guest", Home: t.TempDir()}
	proctest.Start(t, strings.NewReader(used), nil, guest.Args("join", "-", "--listen", "127.0.0.1:0", "--http", "off")...).Wait(t).OK(t)
	guest.Run(t, "logout").OK(t)
	revoked := invite()
	var list struct {
		Invites []struct {
			ID   string
			Uses int
		}
	}
	n.Run(t, "invite", "ls", "--json").OK(t).JSON(t, &list)
	for _, i := range list.Invites {
		if i.Uses == 1 {
			n.Run(t, "invite", "revoke", i.ID).OK(t)
		}
	}
	fresh := invite()
	mangled := strings.Replace(fresh, fresh[30:34], "AAAA", 1)
	require.NotEqual(t, fresh, mangled)
	expired := string(n.Run(t, "invite", "--print", "token", "--ttl", "1ms").OK(t).Stdout)
	token, err := trust.ParseToken(strings.TrimSpace(fresh), time.Now())
	require.NoError(t, err)
	gone, foreign, unknown := token, token, token
	gone.Addrs = []string{"127.0.0.1:1"}
	foreign.Root[0]++
	unknown.Secret[0]++

	for name, c := range map[string]struct {
		code  int
		id    string
		stdin string
		args  []string
	}{
		"fetch an unknown name":         {4, "not_found", "", n.Args("fetch", "nothing", "-o", dir)},
		"cat an unknown name":           {4, "not_found", "", n.Args("cat", "nothing")},
		"stat an unknown name":          {4, "not_found", "", n.Args("stat", "nothing")},
		"remove an unknown name":        {4, "not_found", "", n.Args("rm", "--yes", "nothing")},
		"a home without a daemon":       {10, "no_daemon", "", []string{"--home", unused, "ls"}},
		"store without a daemon":        {10, "no_daemon", "", []string{"--home", unused, "store", file}},
		"a path that is not there":      {1, "local_file", "", n.Args("store", filepath.Join(dir, "missing"))},
		"a path below a file":           {1, "local_file", "", n.Args("store", filepath.Join(file, "below"))},
		"a folder under one name":       {2, "usage", "", n.Args("store", filepath.Join(dir, "folder"), "--as", "x")},
		"a name that climbs":            {2, "bad_name", "", n.Args("store", file, "--as", "../x")},
		"a name that climbs inside":     {2, "bad_name", "", n.Args("store", file, "--as", "a/../x")},
		"an absolute name":              {2, "bad_name", "", n.Args("store", file, "--as", "/x")},
		"an empty segment":              {2, "bad_name", "", n.Args("store", file, "--as", "a//b")},
		"a name that is no UTF-8":       {2, "bad_name", "", n.Args("store", file, "--as", "a\xff")},
		"a name of 1025 bytes":          {2, "bad_name", "", n.Args("store", file, "--as", strings.Repeat("x", 1025))},
		"standard input without a name": {2, "usage", "text", n.Args("store", "-")},
		"a name that is taken":          {5, "exists", "", n.Args("store", filepath.Join(dir, "occupied"), "--as", "file")},
		"a target that is taken":        {5, "target_exists", "", n.Args("fetch", "file", "-o", filepath.Join(dir, "occupied"))},
		"a target below a file":         {1, "local_file", "", n.Args("fetch", "file", "-o", filepath.Join(file, "below"))},
		"more copies than nodes":        {9, "too_few_copies", "", n.Args("store", file, "-w", "5")},
		"more copies to keep than that": {9, "too_few_copies", "", n.Args("store", file, "-n", "5")},
		"fewer copies than W":           {2, "usage", "", n.Args("store", file, "-w", "1")},
		"fewer copies than N":           {2, "usage", "", n.Args("store", file, "-n", "2")},
		"more readers than nodes":       {11, "unavailable", "", n.Args("cat", "-r", "3", "--retry", "1ms", "file")},
		"more readers than N":           {2, "usage", "", n.Args("cat", "-r", "4", "file")},
		"an invite that is not there":   {4, "no_such_invite", "", n.Args("invite", "revoke", "zzz")},
		"no path":                       {2, "usage", "", n.Args("store", "")},
		"a node's home":                 {1, "node_home", "", n.Args("store", n.Home)},
		"the home of another node":      {1, "node_home", "", n.Args("store", other.Home)},
		"a node's keys":                 {1, "node_home", "", n.Args("store", filepath.Join(other.Home, "member"))},
		"a node's token":                {1, "node_home", "", n.Args("store", filepath.Join(n.Home, "http.token"))},
		"a mangled token":               {2, "bad_token", mangled, []string{"--home", unused, "join", "-"}},
		"half a token":                  {2, "bad_token", fresh[:20], []string{"--home", unused, "join", "-"}},
		"a used invite":                 {6, "invite_used", used, []string{"--home", unused, "join", "-"}},
		"a revoked invite":              {6, "invite_revoked", revoked, []string{"--home", unused, "join", "-"}},
		"an expired invite":             {6, "invite_expired", expired, []string{"--home", unused, "join", "-"}},
		"an invite nobody made":         {6, "invite_unknown", unknown.String(), []string{"--home", unused, "join", "-"}},
		"an invite of another ring":     {6, "foreign", foreign.String(), []string{"--home", unused, "join", "-"}},
		"nobody where the invite says":  {11, "unreachable", gone.String(), []string{"--home", unused, "join", "-"}},
		"an invite of somebody else":    {6, "not_issuer", "", other.Args("invite")},
		"a member that joins again":     {1, "already_member", fresh, other.Args("join", "-")},
		"a port in use":                 {1, "port_busy", "", []string{"--home", filepath.Join(unused, "port"), "up", "--listen", busy.Addr().String()}},
		"a second daemon":               {13, "locked", "", n.Args("daemon")},
		"an unknown command":            {2, "usage", "", n.Args("frobnicate")},
		"an unknown flag":               {2, "usage", "", n.Args("ls", "--frobnicate")},
		"a missing argument":            {2, "usage", "", n.Args("fetch")},
		"a bad rate":                    {2, "usage", "", n.Args("store", file, "--limit", "fast")},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, c.code, c.id, c.stdin, c.args...) })
	}

	t.Run("a name with NUL", func(t *testing.T) { // which no command line can have
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", n.Daemon(t).Socket)
		}}}
		defer client.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://dhtfs/v1/file?name=a%00b", strings.NewReader("text"))
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		var failure proctest.Failure
		require.NoError(t, json.NewDecoder(response.Body).Decode(&failure))
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
		assert.Equal(t, "bad_name", failure.ID)
		assert.Equal(t, 2, failure.Code)
	})
	t.Run("an unreadable file", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root reads everything")
		}
		require.NoError(t, os.Chmod(file, 0))
		refuse(t, 1, "local_file", "", n.Args("store", file, "--as", "unreadable")...)
	})
	t.Run("what can be had of two nodes", func(t *testing.T) {
		for quorum, warns := range map[string]bool{"2": false, "1": true} {
			result := n.Run(t, "cat", "-r", quorum, "file").OK(t)
			assert.NotEmpty(t, result.Stdout)
			assert.Equal(t, warns, strings.Contains(string(result.Stderr), "confirm"), "%s", result)
		}
	})
	t.Run("nothing of it was stored", func(t *testing.T) {
		_, names := listRing(t, n)
		assert.Equal(t, []string{"file"}, names)
		content, err := os.ReadFile(filepath.Join(dir, "occupied"))
		require.NoError(t, err)
		assert.Len(t, content, 50)
	})
}
