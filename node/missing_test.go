package node_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A voter whose file is missing, which it finds when it is to accept the same content
// again, is not counted before it has got it anew: of three machines one is away, and
// one dies for good as soon as the store has been acknowledged.
func TestAVoterWithoutItsFile(t *testing.T) {
	for name, lacks := range map[string]func(t *testing.T, a, b *ringtest.Member){
		"never made": func(_ *testing.T, _, b *ringtest.Member) {
			var failed atomic.Int32
			b.Disk.SetFault(func(op filestore.Op, p string) error {
				if op == filestore.OpCreate && strings.Contains(p, ".dhtfs-") && failed.Add(1) == 1 {
					return syscall.EMFILE
				}
				return nil
			})
		},
		"taken away": func(t *testing.T, a, b *ringtest.Member) {
			_, err := a.Store(t.Context(), "file", readerOf("content"), node.StoreOptions{Size: 7})
			require.NoError(t, err)
			time.Sleep(30 * time.Second)
			require.NoError(t, b.Take("file"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
				b, a, c := r.Members[0], r.Members[1], r.Members[2]
				r.Crash(c)
				time.Sleep(30 * time.Second)
				lacks(t, a, b)
				got := r.Store(a, "file", []byte("content"), node.StoreOptions{Size: 7, IfExists: node.Replace})
				assert.Equal(t, 2, got.Copies)
				require.True(t, b.Has("file"), "what was acknowledged is there")
				r.Lose(a)
				r.Start(c)
				giveUp(t, r, a)
				r.Whole(5 * time.Minute)
				content, _, err := ringtest.Fetch(t.Context(), b, "file", node.FetchOptions{})
				require.NoError(t, err)
				assert.Equal(t, "content", string(content))
			})
		})
	}
}
