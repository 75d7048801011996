package filestore

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// A disk that does not answer holds up nobody for ever, and nobody who needs only
// the table at all. What was asked of it is not acknowledged.
func TestADiskThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var told atomic.Int32
		d := NewMemDisk()
		s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}, OnDegraded: func() { told.Add(1) }})
		require.NoError(t, err)
		require.NoError(t, put(s, ballot(1), "a", []byte("a")))
		require.NoError(t, put(s, ballot(1), "b", []byte("b")))
		staged, err := s.Stage("large", 0)
		require.NoError(t, err)
		data := content(1, ChunkSize)
		_, err = staged.Write(data)
		require.NoError(t, err)

		release := d.Hang()
		promise := func(r Register) (Register, error) {
			r.Promised = ballot(9)
			return r, nil
		}
		failures := make(chan error, 3)
		start := time.Now()
		go func() { _, err := s.Update("a", promise); failures <- err }()
		synctest.Wait() // until its commit is under way: the others find the disk degraded, or not
		go func() { _, err := s.Update("new", promise); failures <- err }()
		go func() { failures <- staged.Seal(recordOf("large", data)) }()
		time.Sleep(hangLimit / 2)
		assert.NoError(t, s.Degraded(), "it may only be busy")
		at, err := s.Register("b")
		require.NoError(t, err)
		assert.True(t, at.Held)
		for range 3 {
			require.Error(t, <-failures)
		}
		assert.LessOrEqual(t, time.Since(start), 3*hangLimit)
		assert.ErrorIs(t, s.Degraded(), ErrDegraded)
		assert.ErrorIs(t, s.Degraded(), errHang)
		assert.Equal(t, int32(1), told.Load())
		start = time.Now()
		_, err = s.Update("b", promise)
		assert.ErrorIs(t, err, ErrDegraded)
		assert.Zero(t, time.Since(start), "refused at once")
		_, err = s.Register("a")
		assert.ErrorIs(t, err, ErrDegraded, "whether it is promised nobody knows")
		_, err = s.Register("b")
		require.NoError(t, err)
		assert.ErrorIs(t, s.Close(), ErrDegraded)
		release()
		synctest.Wait()
	})
}

// A disk that is only read from is found out, too.
func TestAReadThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var told atomic.Int32
		d := NewMemDisk()
		s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}, OnDegraded: func() { told.Add(1) }})
		require.NoError(t, err)
		data := content(1, 2*ChunkSize)
		require.NoError(t, put(s, ballot(1), "large", data))
		c, err := s.Open("large", recordOf("large", data).SHA256)
		require.NoError(t, err)
		release := d.Hang()
		read := make(chan error, 1)
		go func() {
			_, err := c.ReadChunk(0, make([]byte, ChunkSize))
			read <- err
		}()
		time.Sleep(hangLimit - time.Second)
		assert.NoError(t, s.Degraded(), "it may only be busy")
		time.Sleep(2 * time.Second)
		assert.ErrorIs(t, s.Degraded(), errHang)
		assert.Equal(t, int32(1), told.Load())
		release()
		assert.NoError(t, <-read, "what is read in the end is good")
		assert.NoError(t, c.Close())
		assert.NoError(t, s.Close())
	})
}
