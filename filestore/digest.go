package filestore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// ChunkSize is the size of every chunk of a content but the last: 1 MiB.
const ChunkSize = 1 << 20

// rootDomain keeps a root from ever being the hash of something else.
const rootDomain = "dhtfs content root 1\x00"

// RootOf returns the hash that binds a content's size to its chunk hashes:
// the SHA-256 of
//
//	"dhtfs content root 1\x00"   21 bytes
//	size                          8 bytes, big endian
//	chunk hashes                 32 bytes each, in order
func RootOf(size int64, hashes []Hash) Hash {
	h := sha256.New()
	h.Write([]byte(rootDomain))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
	for i := range hashes {
		h.Write(hashes[i][:])
	}
	return Hash(h.Sum(nil))
}

// ChunkCount returns how many chunks size bytes make: none for none.
func ChunkCount(size int64) int { return int((size + ChunkSize - 1) / ChunkSize) }

// Digest computes the hashes of a content as it passes by. The zero value is
// not ready: use NewDigest. Not safe for concurrent use.
type Digest struct {
	whole  hash.Hash // nil once a chunk has passed whose hash the caller knew
	chunk  hash.Hash // of the chunk begun, of which fill bytes have passed
	fill   int
	size   int64
	hashes []Hash // of the chunks completed
}

// NewDigest returns the digest of nothing.
func NewDigest() *Digest { return &Digest{whole: sha256.New(), chunk: sha256.New()} }

// Write adds p. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	n := len(p)
	if d.whole != nil {
		d.whole.Write(p)
	}
	d.size += int64(n)
	for len(p) > 0 {
		k := min(len(p), ChunkSize-d.fill)
		d.chunk.Write(p[:k])
		if d.fill += k; d.fill == ChunkSize {
			d.hashes = append(d.hashes, Hash(d.chunk.Sum(nil)))
			d.chunk.Reset()
			d.fill = 0
		}
		p = p[k:]
	}
	return n, nil
}

var errUnaligned = errors.New("chunk does not start at a multiple of the chunk size")

// WriteChunk adds p, a whole chunk or the last one, whose SHA-256 the caller
// has already checked to be sum, so that nothing is hashed here. From then on
// only the root speaks for all bytes, see Matches.
func (d *Digest) WriteChunk(p []byte, sum Hash) error {
	if d.size != int64(len(d.hashes))*ChunkSize {
		return errUnaligned
	}
	if len(p) == 0 || len(p) > ChunkSize {
		return fmt.Errorf("chunk of %d bytes", len(p))
	}
	d.whole = nil
	d.size += int64(len(p))
	d.hashes = append(d.hashes, sum)
	return nil
}

// Size returns how many bytes have passed.
func (d *Digest) Size() int64 { return d.size }

// SHA256 returns the hash of all that has passed. More may follow. After
// WriteChunk it is known for one chunk only, and zero otherwise.
func (d *Digest) SHA256() Hash {
	switch {
	case d.whole != nil:
		return Hash(d.whole.Sum(nil))
	case len(d.hashes) == 1 && d.fill == 0:
		return d.hashes[0]
	}
	return Hash{}
}

// Matches reports whether what has passed is r's content. Its root binds every
// byte and the length, so that it stands in for the SHA-256 of all bytes where
// that was not computed; whoever signed the record has vouched for both.
func (d *Digest) Matches(r *Record) bool {
	if d.size != r.Size || d.Root() != r.Root {
		return false
	}
	sum := d.SHA256()
	return sum == r.SHA256 || sum == Hash{}
}

// Hashes returns the chunk hashes so far, the unfinished chunk's last, in a
// new slice.
func (d *Digest) Hashes() []Hash {
	out := slices.Clone(d.hashes)
	if d.fill > 0 {
		out = append(out, Hash(d.chunk.Sum(nil)))
	}
	return out
}

// Root returns RootOf what has passed.
func (d *Digest) Root() Hash { return RootOf(d.size, d.Hashes()) }
