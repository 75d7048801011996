package samplefiles_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	samplefiles "github.com/dhtfs/dhtfs/sample-files"
)

// tree reads every regular file of fsys.
func tree(t *testing.T, fsys fs.FS) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	require.NoError(t, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[name], err = fs.ReadFile(fsys, name)
		return err
	}))
	return all
}

func TestEveryFileOfTheDirectoryIsEmbedded(t *testing.T) {
	onDisk := tree(t, os.DirFS("."))
	delete(onDisk, "embed.go")
	delete(onDisk, "embed_test.go")
	assert.Equal(t, onDisk, tree(t, samplefiles.FS()))
}

func TestFilesAreWhatTheirNamesSay(t *testing.T) {
	parse := map[string]func([]byte) error{
		".csv":  func(b []byte) error { _, err := csv.NewReader(bytes.NewReader(b)).ReadAll(); return err },
		".png":  func(b []byte) error { _, err := png.Decode(bytes.NewReader(b)); return err },
		".json": func(b []byte) error { var v any; return json.Unmarshal(b, &v) },
		".gz": func(b []byte) error {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
	}
	seen := map[string]bool{}
	var total int
	for name, content := range tree(t, samplefiles.FS()) {
		total += len(content)
		ext := path.Ext(name)
		if f := parse[ext]; f != nil {
			assert.NoError(t, f(content), name)
		}
		if ext == ".pdf" {
			assert.True(t, bytes.HasPrefix(content, []byte("%PDF-1.4\n")), name)
			assert.True(t, bytes.HasSuffix(content, []byte("%%EOF\n")), name)
		}
		seen[ext] = true
		seen["empty"] = seen["empty"] || len(content) == 0
		seen["folder"] = seen["folder"] || path.Dir(path.Dir(name)) != "."
		for _, r := range name {
			seen["space"] = seen["space"] || r == ' '
			seen["letter"] = seen["letter"] || r > unicode.MaxASCII
		}
	}
	for _, kind := range []string{".txt", ".csv", ".json", ".png", ".pdf", ".gz", "empty", "folder", "space", "letter"} {
		assert.True(t, seen[kind], "no sample of kind %q", kind)
	}
	assert.Less(t, total, 300<<10, "the samples are part of the program: keep them small")
}
