package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// pair returns a connection from host a to host b, both ends.
func pair(t *testing.T, n *Network) (near, far net.Conn) {
	t.Helper()
	ln, err := n.Listen("b:0")
	require.NoError(t, err)
	near, err = n.Dialer("a")(t.Context(), "tcp", ln.Addr().String())
	require.NoError(t, err)
	far, err = ln.Accept()
	require.NoError(t, err)
	return near, far
}

func TestBytesArriveInOrderAfterTheDelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDelay("a", "b", 100*time.Millisecond, 50*time.Millisecond)
		start := time.Now()
		near, far := pair(t, n)
		assert.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond, "a dial takes a round trip")

		start = time.Now()
		for i := range 100 {
			_, err := near.Write([]byte{byte(i)})
			require.NoError(t, err)
		}
		require.NoError(t, near.Close())
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Len(t, got, 100)
		assert.EqualValues(t, 100, n.Sent("a", "b"))
		assert.Zero(t, n.Sent("b", "a"))
		for i, b := range got {
			require.Equal(t, byte(i), b)
		}
		assert.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond)
		assert.Less(t, time.Since(start), 200*time.Millisecond)
	})
}

func TestBandwidth(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetBandwidth("a", "b", 1<<20)
		near, far := pair(t, n)
		go func() {
			_, _ = near.Write(make([]byte, 3<<20))
			_ = near.Close()
		}()
		start := time.Now()
		got, err := io.Copy(io.Discard, far)
		require.NoError(t, err)
		assert.EqualValues(t, 3<<20, got)
		assert.InDelta(t, 3, time.Since(start).Seconds(), 0.1)
	})
}

func TestCutHoldsOneWayUntilItHeals(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		near, far := pair(t, n)
		n.Cut("a", "b")
		_, err := near.Write([]byte("there"))
		require.NoError(t, err)
		_, err = far.Write([]byte("back"))
		require.NoError(t, err)
		buf := make([]byte, 8)
		k, err := near.Read(buf)
		require.NoError(t, err, "the other way is open")
		assert.Equal(t, "back", string(buf[:k]))

		require.NoError(t, far.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err = far.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, far.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Minute, func() { n.Heal("a", "b") })
		k, err = far.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "there", string(buf[:k]))
	})
}

func TestDialThroughACutWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		ln, err := n.Listen("b:1")
		require.NoError(t, err)
		n.Cut("b", "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.Dialer("a")(ctx, "tcp", "b:1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, ln.Close())
		n.HealAll()
		_, err = n.Dialer("a")(t.Context(), "tcp", "b:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestAFullWindowBlocksTheWriter(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		near, far := pair(t, New(1))
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(time.Second)))
		k, err := near.Write(make([]byte, window+1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, window, k)
		var ne net.Error
		require.True(t, errors.As(err, &ne) && ne.Timeout())
		require.NoError(t, near.SetWriteDeadline(time.Time{}))
		done := make(chan error, 1)
		go func() {
			_, err := near.Write([]byte{1})
			done <- err
		}()
		synctest.Wait()
		_, err = far.Read(make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, <-done)
	})
}

func TestCloseInTheMiddle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		near, far := pair(t, New(1))
		done := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, near.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
		require.Error(t, near.Close())
		_, err := far.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		_, err = far.Write([]byte{1})
		require.Error(t, err)
	})
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		near, far := pair(t, New(1))
		_, err := near.Write([]byte{1})
		require.NoError(t, err)
		_, err = far.Write([]byte("last words"))
		require.NoError(t, err)
		require.NoError(t, far.Close())
		_, err = near.Read(make([]byte, 20))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestKillResetsAndDownIsSilent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		near, _ := pair(t, n)
		n.Kill("b")
		_, err := near.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)

		near, far := pair(t, n)
		n.Down("b")
		_, err = far.Write([]byte{1})
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = n.Listen("b:5")
		require.Error(t, err)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err = near.Write([]byte{1})
		require.NoError(t, err, "nothing is noticed")
		_, err = near.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		n.Up("b")
		require.NoError(t, near.SetReadDeadline(time.Time{}))
		_, err = near.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "a host that came back knows no old connection")
	})
}

func TestDropAndPartition(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := New(1)
		near, far := pair(t, n)
		n.Partition([]string{"a"}, []string{"b", "c"})
		_, err := near.Write([]byte{1})
		require.NoError(t, err)
		require.NoError(t, far.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = far.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		n.HealAll()
		n.Drop("b", "a")
		_, err = near.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestAReplacedDeadlineDoesNotPass(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		near, far := pair(t, New(1))
		for range 100 {
			require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Millisecond)))
			time.Sleep(time.Millisecond)
			require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Hour)))
		}
		time.AfterFunc(time.Minute, func() { _, _ = far.Write([]byte{1}) })
		_, err := near.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}
