package filestore

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkStore stores files in full, every sync included: one at a time and
// many at once.
func BenchmarkStore(b *testing.B) {
	for _, c := range []struct {
		size, parallel int
	}{{4 << 10, 1}, {4 << 10, 32}, {64 << 20, 1}} {
		b.Run(fmt.Sprintf("%dKiB-x%d", c.size>>10, c.parallel), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir(), Positions: testPositions})
			if err != nil {
				b.Fatal(err)
			}
			data := content(1, c.size)
			var n atomic.Int64
			b.SetBytes(int64(c.size))
			b.SetParallelism(c.parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := put(s, ballot(1), fmt.Sprint(n.Add(1)), data); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkStoreSmall stores files of 10 KiB as a node does, promise and acceptance:
// one at a time and many at once.
func BenchmarkStoreSmall(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("x%d", parallel), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir(), Positions: testPositions, Small: 64 << 10})
			if err != nil {
				b.Fatal(err)
			}
			data := content(1, 10<<10)
			var n atomic.Int64
			b.SetBytes(int64(len(data)))
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					name := fmt.Sprint(n.Add(1))
					_, err := s.Update(name, func(r Register) (Register, error) {
						r.Promised = ballot(1)
						return r, nil
					})
					if err == nil {
						err = put(s, ballot(1), name, data)
					}
					if err != nil {
						b.Error(err)
					}
					select {
					case <-s.FlushDue():
						if err := s.Flush(); err != nil {
							b.Error(err)
						}
					default:
					}
				}
			})
			if err := s.Flush(); err != nil {
				b.Error(err)
			}
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRead reads and checks a content from the page cache.
func BenchmarkRead(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir(), Positions: testPositions})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}()
	data := content(1, 64<<20)
	if err := put(s, ballot(1), "a", data); err != nil {
		b.Fatal(err)
	}
	sum := recordOf("a", data).SHA256
	b.SetBytes(int64(len(data)))
	buf := make([]byte, ChunkSize)
	for b.Loop() {
		c, err := s.Open("a", sum)
		if err != nil {
			b.Fatal(err)
		}
		for i := range ChunkCount(c.Size()) {
			if _, err := c.ReadChunk(i, buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.Close()
	}
}

// BenchmarkDigest hashes as a stage does, with and without known chunk hashes.
func BenchmarkDigest(b *testing.B) {
	chunk := content(1, ChunkSize)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(ChunkSize)
		d := NewDigest()
		for b.Loop() {
			_, _ = d.Write(chunk)
		}
	})
	b.Run("chunk", func(b *testing.B) {
		b.SetBytes(ChunkSize)
		d := NewDigest()
		for b.Loop() {
			_ = d.WriteChunk(chunk, Hash{})
		}
	})
}
