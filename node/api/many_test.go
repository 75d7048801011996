package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
)

// unwrapped sends a body as it is.
func unwrapped(r io.Reader) io.Reader { return r }

func put(name, content string) Put {
	return Put{Name: name, Content: []byte(content), Options: node.StoreOptions{
		Op: node.NewOp(), Mode: 0o640, Modified: time.Unix(1e9, 5),
	}}
}

// collect fetches names and returns what came by its name.
func collect(t *testing.T, client *Client, names []string, inline int64) map[string]Got {
	t.Helper()
	all := map[string]Got{}
	require.NoError(t, client.FetchMany(t.Context(), names, node.FetchOptions{}, inline, func(g Got) error {
		g.Content = slices.Clone(g.Content)
		all[names[g.Index]] = g
		return nil
	}))
	return all
}

func TestManyFilesInOneCall(t *testing.T) {
	_, client, _ := startNode(t)
	ctx := t.Context()
	puts := []Put{put("bad//name", "x"), put("empty", ""), put("a/ü\n", "content"), put("large", strings.Repeat("x", MaxInline))}
	names := []string{"missing"}
	for i := range 200 {
		puts = append(puts, put(fmt.Sprint("file ", i), fmt.Sprint("content ", i)))
	}
	for _, p := range puts[1:] {
		names = append(names, p.Name)
	}
	looked, err := client.Look(ctx, names)
	require.NoError(t, err)
	for _, l := range looked {
		assert.Equal(t, Looked{Free: true}, l)
	}
	items, err := client.StoreMany(ctx, puts, node.StoreOptions{}, unwrapped)
	require.NoError(t, err)
	require.Len(t, items, len(puts))
	require.NotNil(t, items[0].Error)
	assert.Equal(t, "bad_name", items[0].Error.ID, "one that fails does not hurt the others")
	for i, item := range items[1:] {
		require.Nil(t, item.Error)
		assert.Equal(t, "stored", item.Action)
		assert.EqualValues(t, len(puts[i+1].Content), item.Size)
		assert.Equal(t, []string{"alder"}, item.Nodes)
		assert.Equal(t, []int{1, 1}, []int{item.Copies, item.Want})
		assert.Len(t, item.SHA256, 64)
	}

	got := collect(t, client, names, MaxInline)
	require.Len(t, got, len(names))
	assert.Equal(t, "not_found", got["missing"].Error.ID)
	for _, p := range puts[1:] {
		g := got[p.Name]
		require.Nil(t, g.Error)
		assert.Equal(t, string(p.Content), string(g.Content))
		assert.Equal(t, p.Name, g.File.Name)
		assert.Equal(t, "0640", g.File.Mode)
		assert.True(t, g.File.Modified.Equal(p.Options.Modified))
		assert.True(t, g.File.Confirmed)
		assert.False(t, g.Later)
	}
	assert.Equal(t, []string{"alder"}, got["large"].From)
	got = collect(t, client, names, 100)
	assert.True(t, got["large"].Later, "what is larger than is wanted does not come")
	assert.Empty(t, got["large"].Content)
	assert.EqualValues(t, MaxInline, got["large"].File.Size)
	assert.False(t, got["file 1"].Later)

	// The same operations again: what they came to before.
	items, err = client.StoreMany(ctx, puts[1:], node.StoreOptions{}, unwrapped)
	require.NoError(t, err)
	for _, item := range items {
		assert.Equal(t, "stored", item.Action)
	}
	// Other content under the names.
	for i := range puts {
		puts[i] = put(puts[i].Name, "other")
		puts[i].Options.Base = 1
	}
	items, err = client.StoreMany(ctx, puts[1:], node.StoreOptions{}, unwrapped)
	require.NoError(t, err)
	for _, item := range items {
		require.NotNil(t, item.Error)
		assert.Equal(t, "exists", item.Error.ID)
		assert.NotNil(t, item.Error.Existing)
	}
	looked, err = client.Look(ctx, names)
	require.NoError(t, err)
	assert.Equal(t, Looked{Free: true}, looked[0])
	for i, l := range looked[1:] {
		stat, err := client.Stat(ctx, names[i+1])
		require.NoError(t, err)
		assert.Equal(t, Looked{Stored: true, File: &stat, Changes: 2}, l, "that a store was refused is a change, too")
	}
}

func TestTooManyInOneCall(t *testing.T) {
	_, client, _ := startNode(t)
	many := slices.Repeat([]string{"x"}, MaxNames+1)
	_, err := client.Look(t.Context(), many)
	require.ErrorIs(t, err, ErrUsage)
	require.ErrorIs(t, client.FetchMany(t.Context(), many, node.FetchOptions{}, 1, nil), ErrUsage)
	_, err = client.StoreMany(t.Context(), slices.Repeat([]Put{put("x", "x")}, MaxNames+1), node.StoreOptions{}, unwrapped)
	require.ErrorIs(t, err, ErrUsage)
	_, err = client.StoreMany(t.Context(), []Put{put("x", strings.Repeat("x", MaxInline+1))}, node.StoreOptions{}, unwrapped)
	require.ErrorIs(t, err, ErrUsage)
	_, err = client.StoreMany(t.Context(), slices.Repeat([]Put{put("x", strings.Repeat("x", MaxInline))}, maxContent/MaxInline+1),
		node.StoreOptions{}, unwrapped)
	require.ErrorIs(t, err, ErrUsage)
}

// What counts is the contents: as many as the command line sends at once go in one
// call however long their names are.
func TestAsMuchAsOneCallTakes(t *testing.T) {
	_, client, _ := startNode(t)
	var puts []Put
	for i := range maxContent / MaxInline {
		name := fmt.Sprintf("%03d%s", i, strings.Repeat("\x01", 1000)) // in JSON that takes six times as much
		puts = append(puts, put(name, strings.Repeat("x", MaxInline)))
	}
	items, err := client.StoreMany(t.Context(), puts, node.StoreOptions{}, unwrapped)
	require.NoError(t, err)
	for _, item := range items {
		require.Nil(t, item.Error)
	}
}

// A body that ends in the middle of a file is refused; the files before it may be stored.
func TestManyFilesThatBreakOff(t *testing.T) {
	_, client, _ := startNode(t)
	for _, body := range []string{"{", "{}", "nonsense\n", `{"name":"x","size":5}` + "\nfour", `{"name":"x","size":-1}` + "\n"} {
		_, err := client.do(t.Context(), http.MethodPost, "/v1/contents/store", nil, nil, strings.NewReader(body))
		require.ErrorIs(t, err, ErrUsage, "%q", body)
	}
}

// An answer that broke off does not pass for a whole one, and nonsense for none.
func TestManyContentsThatBreakOff(t *testing.T) {
	for answer, want := range map[string]error{
		"": ErrDaemonGone,
		`{"index":0,"file":{"size":3,"sha256":"","mode":"0644","confirmed":true},"length":3}` + "\nab": ErrDaemonGone,
		`{"index":7,"error":{"id":"x"}}` + "\n":                                                        ErrInternal,
		`{"index":0,"length":-1,"error":{}}` + "\n":                                                    ErrInternal,
		`{"index":0}` + "\n": ErrInternal,
		"nonsense\n":         ErrInternal,
	} {
		client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
		err := client.FetchMany(t.Context(), []string{"a"}, node.FetchOptions{}, 10, func(Got) error { return nil })
		require.ErrorIs(t, err, want, "%q", answer)
	}
}

// Somebody who does not want the rest gets no more of it.
func TestManyContentsGivenUp(t *testing.T) {
	_, client, _ := startNode(t)
	content := bytes.Repeat([]byte("x"), MaxInline)
	var puts []Put
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint(i))
		puts = append(puts, put(names[i], string(content)))
	}
	items, err := client.StoreMany(t.Context(), puts, node.StoreOptions{}, unwrapped)
	require.NoError(t, err)
	require.Nil(t, items[99].Error)
	came := 0
	err = client.FetchMany(t.Context(), names, node.FetchOptions{}, MaxInline, func(Got) error {
		came++
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, came)
	assert.Len(t, collect(t, client, names, MaxInline), 100, "the daemon goes on")
}
