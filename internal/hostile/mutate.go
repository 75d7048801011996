package hostile

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
)

// Mutate gives each decoder [Mutants] inputs made from its examples. An input that
// fails is printed; the next run makes it again.
func Mutate(t *testing.T, decoders ...Decoder) {
	total := 0
	for _, d := range decoders {
		t.Run(d.Name, func(t *testing.T) {
			n := Mutants()
			r := rand.New(rand.NewPCG(1, seedOf(d.Name)))
			for i := range n {
				data := mutant(r, d.Examples)
				attempt(t, d, i, data)
				if t.Failed() {
					break
				}
			}
			total += n
		})
	}
	t.Logf("%d mutated inputs for %d decoders", total, len(decoders))
}

// attempt tells what the input was when a decoder panics or fails.
func attempt(t *testing.T, d Decoder, i int, data []byte) {
	defer func() {
		p := recover()
		if p != nil || t.Failed() {
			t.Errorf("%s, input %d: %v\n%q", d.Name, i, fmt.Sprint(p), data[:min(len(data), 1<<10)])
		}
	}()
	d.check(t, data)
}

func seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return h.Sum64()
}

// lengths are numbers that are likely to be taken for a length.
var lengths = []uint64{
	0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 20, 1<<20 + 1, 4 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1,
}

// mutant is one of the examples, changed in a few places.
func mutant(r *rand.Rand, examples [][]byte) []byte {
	data := slices.Clone(examples[r.IntN(len(examples))])
	for range 1 + r.IntN(4) {
		data = change(r, data, examples)
	}
	return data
}

// change does one thing to data.
func change(r *rand.Rand, data []byte, examples [][]byte) []byte {
	if len(data) == 0 {
		return append(data, byte(r.Uint32()))
	}
	at := r.IntN(len(data))
	switch r.IntN(9) {
	case 0: // one bit
		data[at] ^= 1 << r.IntN(8)
	case 1: // one byte
		data[at] = byte(r.Uint32())
	case 2: // a number of some width
		length := lengths[r.IntN(len(lengths))]
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], length)
		copy(data[at:], b[8-1<<r.IntN(4):])
	case 3: // the beginning of a CBOR item with a great length or number
		head := []byte{byte(r.IntN(8))<<5 | byte(24+r.IntN(8))}
		head = binary.BigEndian.AppendUint64(head, lengths[r.IntN(len(lengths))])
		data = slices.Insert(data, at, head[:1+r.IntN(9)]...)
	case 4: // cut off
		data = data[:at]
	case 5: // a piece gone
		data = slices.Delete(data, at, at+1+r.IntN(len(data)-at))
	case 6: // a piece twice, or many times
		piece := slices.Clone(data[at : at+1+r.IntN(min(len(data)-at, 32))])
		data = slices.Insert(data, at, slices.Repeat(piece, 1<<r.IntN(8))...)
	case 7: // a piece of another example
		other := examples[r.IntN(len(examples))]
		if len(other) > 0 {
			from := r.IntN(len(other))
			data = append(data[:at:at], other[from:]...)
		}
	case 8: // noise
		for i := at; i < min(len(data), at+16); i++ {
			data[i] = byte(r.Uint32())
		}
	}
	if len(data) > 64<<10 {
		data = data[:64<<10]
	}
	return data
}
