package transfer

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// The beginning of a TLS connection: the header of a record, and the type of the
// handshake message in it.
const (
	recordHeader    = 5
	recordHandshake = 22
	clientHello     = 1
	maxClientHello  = 4 << 10 // those of this software take less than 2 KiB
)

var errNoTLS = errors.New("this is no TLS")

// readClientHello reads the record that begins a TLS connection, so that nothing
// dear is made for a stranger who sends none. It holds no more than the record.
func readClientHello(conn net.Conn) ([]byte, error) {
	h := make([]byte, recordHeader)
	if _, err := io.ReadFull(conn, h); err != nil {
		return nil, err
	}
	length := int(h[3])<<8 | int(h[4])
	switch {
	case h[0] != recordHandshake || h[1] != 3 || length < 4:
		return nil, errNoTLS
	case length > maxClientHello:
		return nil, fmt.Errorf("%w: first record of %d bytes", ErrTooLarge, length)
	}
	record := append(make([]byte, 0, recordHeader+length), h...)[:recordHeader+length]
	if _, err := io.ReadFull(conn, record[recordHeader:]); err != nil {
		return nil, noEOF(err)
	}
	if record[recordHeader] != clientHello {
		return nil, errNoTLS
	}
	return record, nil
}

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	first []byte
}

// Read returns the first bytes, and then what comes.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.first) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.first)
	if r.first = r.first[n:]; len(r.first) == 0 {
		r.first = nil
	}
	return n, nil
}
