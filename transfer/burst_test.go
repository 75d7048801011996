package transfer

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeLog is a connection that notes its writes, until it fails.
type writeLog struct {
	net.Conn
	writes []int
	all    bytes.Buffer
	failed error
}

func (l *writeLog) Write(p []byte) (int, error) {
	if l.failed != nil {
		return 0, l.failed
	}
	l.writes = append(l.writes, len(p))
	return l.all.Write(p)
}

func TestRecordsOfAPieceLeaveTogether(t *testing.T) {
	const record = 5 + 16<<10 + 17 // as TLS 1.3 makes them
	for _, c := range []struct {
		records, writes []int
	}{
		{[]int{record, record, record, record}, []int{4 * record}},
		{[]int{100}, []int{100}},
		{[]int{record, 2 * burstSize, record}, []int{record, 2 * burstSize, record}},
		{[]int{burstSize, 1}, []int{burstSize, 1}},
	} {
		var log writeLog
		b := &burst{Conn: &log}
		var sent []byte
		write := func(n int) (int, error) {
			p := noise(n)
			sent = append(sent, p...)
			return b.Write(p)
		}
		_, err := write(7) // alone: it does not wait
		require.NoError(t, err)
		require.Equal(t, []int{7}, log.writes)
		n, err := b.together(func() (total int, err error) {
			for _, r := range c.records {
				k, err := write(r)
				require.NoError(t, err)
				total += k
			}
			return total, nil
		})
		require.NoError(t, err)
		assert.Equal(t, len(sent)-7, n)
		assert.Equal(t, append([]int{7}, c.writes...), log.writes)
		assert.True(t, bytes.Equal(sent, log.all.Bytes()), "in order")
	}
}

func TestAPieceThatCannotLeaveIsAnError(t *testing.T) {
	log := writeLog{failed: io.ErrClosedPipe}
	b := &burst{Conn: &log}
	_, err := b.together(func() (int, error) { return b.Write(noise(100)) })
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = b.together(func() (int, error) { return 0, io.ErrNoProgress })
	require.ErrorIs(t, err, io.ErrNoProgress, "the first failure")
}
