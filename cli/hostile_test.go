package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/hostile"
)

// nastyNames are names that somebody on the ring might give a file, or that a
// member might invent.
var nastyNames = []string{
	"../../etc/passwd", "/etc/passwd", "..", "a/../../b", "a\x00b", strings.Repeat("x", 300), "CON", "nul.txt", "e\u0301", "\u00e9",
	"Case", "case", ".dhtfs-tmp", "\x1b[31mred\x1b[0m", "two\nlines", "\u202etxt.exe", "C:\\x", "..\\..\\x", "link/x", "./x", "a//b", "a/", "", " ",
}

// places puts names that the ring tells into a folder.
func places(tb testing.TB) hostile.Decoder {
	outside := tb.TempDir()
	folder := filepath.Join(outside, "folder")
	require.NoError(tb, os.Mkdir(folder, 0o700))
	require.NoError(tb, os.Symlink(outside, filepath.Join(folder, "link")))
	d := hostile.Decoder{Name: "places", Memory: 1 << 20}
	for _, name := range nastyNames {
		d.Examples = append(d.Examples, []byte(name))
	}
	d.Read = func(t testing.TB, data []byte) {
		target, err := openTarget(t.Context(), folder, true)
		require.NoError(t, err)
		defer target.close()
		local, err := target.place(string(data))
		if err == nil && !filepath.IsLocal(local) {
			t.Errorf("%q goes to %q", data, local)
		}
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		if len(entries) != 1 {
			t.Errorf("%q made something outside the folder", data)
		}
	}
	return d
}

// printed is text from elsewhere as it reaches a terminal.
func printed() hostile.Decoder {
	d := hostile.Decoder{Name: "printed text"}
	for _, name := range nastyNames {
		d.Examples = append(d.Examples, []byte(name))
	}
	d.Read = func(t testing.TB, data []byte) {
		text := printableLines(string(data)) + string(printableJSON(data))
		for _, r := range strings.NewReplacer("\n", "", "\t", "").Replace(printableLines(string(data))) {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q is printed as %q", data, text)
			}
		}
	}
	return d
}

func FuzzPlaces(f *testing.F)  { places(f).Fuzz(f) }
func FuzzPrinted(f *testing.F) { printed().Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, places(t), printed()) }
