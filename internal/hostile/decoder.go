package hostile

import (
	"os"
	"runtime/metrics"
	"strconv"
	"testing"
)

// Decoder reads bytes from elsewhere.
type Decoder struct {
	Name     string
	Examples [][]byte // good inputs, to begin from
	// Read decodes data, and does with the result what is done with it. It fails t
	// when that was wrong; that data cannot be read is not wrong.
	Read func(t testing.TB, data []byte)
	// Memory bounds what Read allocates, in bytes, whatever data says; PerByte adds
	// to it for each byte of data. Zero is 256 KiB, and 64.
	Memory, PerByte int
}

// Fuzz makes d a fuzz target.
func (d Decoder) Fuzz(f *testing.F) {
	for _, example := range d.Examples {
		f.Add(example)
	}
	f.Fuzz(func(t *testing.T, data []byte) { d.check(t, data) })
}

// check reads data and holds the decoder to its limits.
func (d Decoder) check(t testing.TB, data []byte) {
	t.Helper()
	most := orElse(d.Memory, 256<<10) + orElse(d.PerByte, 64)*len(data)
	before := allocated()
	d.Read(t, data)
	took := int(allocated() - before)
	if took <= most {
		return
	}
	// Others, the garbage collector too, may have allocated meanwhile: what the
	// decoder does it does each time.
	for range 3 {
		before = allocated()
		d.Read(t, data)
		took = min(took, int(allocated()-before))
	}
	if took > most {
		t.Errorf("%s allocates %d bytes for %d bytes of input, at most %d are allowed", d.Name, took, len(data), most)
	}
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// allocated is how many bytes this process has allocated so far. Small ones are
// counted some time later.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Mutants is how many inputs [Mutate] makes for each decoder.
func Mutants() int {
	if n, err := strconv.Atoi(os.Getenv("DHTFS_MUTANTS")); err == nil {
		return n
	}
	return 300
}
