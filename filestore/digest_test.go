package filestore

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestRootBytes fixes what a root is made of.
func TestRootBytes(t *testing.T) {
	a, b := Hash(sha256.Sum256([]byte("a"))), Hash(sha256.Sum256([]byte("b")))
	raw := append([]byte("dhtfs content root 1\x00"), 0, 0, 0, 0, 0, 0x10, 0, 1)
	raw = append(append(raw, a[:]...), b[:]...)
	assert.Equal(t, Hash(sha256.Sum256(raw)), RootOf(1<<20+1, []Hash{a, b}))
	assert.Equal(t, "30a06e0a66242bef49e1e6bec28608961f033033f0418586e64ba65380996431", RootOf(0, nil).String())
	assert.NotEqual(t, RootOf(2, []Hash{a}), RootOf(1, []Hash{a}))
}

func TestChunkCount(t *testing.T) {
	for size, want := range map[int64]int{0: 0, 1: 1, ChunkSize: 1, ChunkSize + 1: 2, 10 * ChunkSize: 10} {
		assert.Equal(t, want, ChunkCount(size), size)
	}
}

// TestDigestSplits wants one digest however the content is cut, and wants it
// to be the hashes of the plainly cut content.
func TestDigestSplits(t *testing.T) {
	data := content(7, 3*ChunkSize+100)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3*ChunkSize + 100}).Draw(t, "size")
		var hashes []Hash
		for at := 0; at < size; at += ChunkSize {
			hashes = append(hashes, sha256.Sum256(data[at:min(size, at+ChunkSize)]))
		}
		d := NewDigest()
		for at := 0; at < size; {
			n := min(size-at, rapid.SampledFrom([]int{1, 1000, ChunkSize / 2, ChunkSize, 2*ChunkSize + 1}).Draw(t, "n"))
			if n == 1 && size > 10 {
				n = min(size-at, 77777)
			}
			_, _ = d.Write(data[at : at+n])
			at += n
		}
		byChunk := NewDigest()
		for i, sum := range hashes {
			require.NoError(t, byChunk.WriteChunk(data[i*ChunkSize:min(size, (i+1)*ChunkSize)], sum))
		}
		whole := Hash(sha256.Sum256(data[:size]))
		require.Equal(t, whole, d.SHA256())
		if size > ChunkSize {
			whole = Hash{}
		}
		require.Equal(t, whole, byChunk.SHA256(), "known for one chunk only")
		for _, d := range []*Digest{d, byChunk} {
			require.Equal(t, int64(size), d.Size())
			require.ElementsMatch(t, hashes, d.Hashes())
			require.Equal(t, RootOf(int64(size), hashes), d.Root())
		}
	})
}

func TestWriteChunkRefusesTheUnaligned(t *testing.T) {
	d := NewDigest()
	_, _ = d.Write([]byte("x"))
	assert.Error(t, d.WriteChunk([]byte("y"), Hash{}))
	d = NewDigest()
	assert.Error(t, d.WriteChunk(nil, Hash{}))
	assert.Error(t, d.WriteChunk(make([]byte, ChunkSize+1), Hash{}))
	require.NoError(t, d.WriteChunk([]byte("a short one is the last"), Hash{}))
	assert.Error(t, d.WriteChunk([]byte("y"), Hash{}))
}

// TestDigestMatches wants every way in which a content can differ from its record
// noticed, by whichever of the two hashes is known.
func TestDigestMatches(t *testing.T) {
	for _, size := range []int{0, 100, ChunkSize, 2*ChunkSize + 5} {
		data := content(3, size)
		good := recordOf("a", data)
		written, byChunk := NewDigest(), NewDigest()
		_, _ = written.Write(data)
		for at := 0; at < size; at += ChunkSize {
			chunk := data[at:min(size, at+ChunkSize)]
			require.NoError(t, byChunk.WriteChunk(chunk, sha256.Sum256(chunk)))
		}
		for _, d := range []*Digest{written, byChunk} {
			assert.True(t, d.Matches(&good), size)
			for _, spoil := range []func(*Record){
				func(r *Record) { r.Size++ },
				func(r *Record) { r.Root[3]++ },
			} {
				bad := good
				spoil(&bad)
				assert.False(t, d.Matches(&bad), size)
			}
		}
		bad := good
		bad.SHA256[0]++
		assert.False(t, written.Matches(&bad), size)
		assert.Equal(t, size > ChunkSize, byChunk.Matches(&bad), "the hash of one chunk is that of all")
	}
}
