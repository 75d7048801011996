package transfer

import (
	"fmt"
	"testing"
)

// A stranger who comes to a full house costs little, whether all come from one
// network or each from another.
func BenchmarkCrowd(b *testing.B) {
	for _, networks := range []int{1, 100, 1024} {
		b.Run(fmt.Sprintf("networks=%d", networks), func(b *testing.B) {
			c := newCrowd(1024)
			conns := make([]*pipe, networks)
			for i := range conns {
				conns[i] = &pipe{addr: fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)}
			}
			for i := range 1024 {
				c.enter(conns[i%networks], func() {})
			}
			for i := 0; b.Loop(); i++ {
				c.enter(conns[i%networks], func() {})
			}
		})
	}
}
