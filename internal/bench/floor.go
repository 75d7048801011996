package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// floorPiece is the largest part of a file that is sent, hashed and written in one go.
const floorPiece = 1 << 20

// piece is a part of a file on its way. What goes over the connection is this, and
// then Length bytes.
type piece struct {
	Path   [32]byte // below the folder, filled up with zeros
	Offset int64
	Length int64
	Sum    [sha256.Size]byte
}

// floor sends a file or a folder over loopback as little as can be done in Go that
// encrypts, and checks every byte by SHA-256 where it arrives: a connection for each
// processor, both ends in this process, sums that are known before, no name looked up,
// nobody asked, nothing synced.
func floor(from, to string, pieces []piece) error {
	server, client, err := floorTLS()
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	var all errgroup.Group
	lanes := min(runtime.NumCPU(), len(pieces))
	for i := range lanes {
		all.Go(func() error {
			conn, err := ln.Accept()
			if err != nil {
				return err
			}
			var mine []piece
			for k := i; k < len(pieces); k += lanes {
				mine = append(mine, pieces[k])
			}
			return errors.Join(sendPieces(conn, from, mine), conn.Close())
		})
		all.Go(func() error {
			conn, err := tls.Dial("tcp", ln.Addr().String(), client)
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			return errors.Join(receivePieces(conn, to), conn.Close())
		})
	}
	return errors.Join(all.Wait(), ln.Close())
}

// floorTLS makes both ends' settings: TLS 1.3 under a certificate made for this run.
func floorTLS() (server, client *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, nil
}

// cut lists the pieces of a file, or of all files in a folder, with their sums.
func cut(from string) (pieces []piece, err error) {
	buf := make([]byte, floorPiece)
	err = filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		var p piece
		if copy(p.Path[:], rel) < len(rel) {
			return fmt.Errorf("%s: too long a name for this", rel)
		}
		for ; p.Offset < info.Size(); p.Offset += floorPiece {
			p.Length = min(floorPiece, info.Size()-p.Offset)
			content, err := p.read(from, buf)
			if err != nil {
				return err
			}
			p.Sum = sha256.Sum256(content)
			pieces = append(pieces, p)
		}
		return nil
	})
	return pieces, err
}

// read reads a piece into buf.
func (p *piece) read(from string, buf []byte) ([]byte, error) {
	f, err := os.Open(p.in(from))
	if err != nil {
		return nil, err
	}
	_, err = f.ReadAt(buf[:p.Length], p.Offset)
	return buf[:p.Length], errors.Join(err, f.Close())
}

func (p *piece) in(dir string) string {
	return filepath.Join(dir, string(bytes.TrimRight(p.Path[:], "\x00")))
}

func sendPieces(w io.Writer, from string, pieces []piece) error {
	buf := make([]byte, floorPiece)
	for _, p := range pieces {
		content, err := p.read(from, buf)
		if err != nil {
			return err
		}
		if err := binary.Write(w, binary.BigEndian, p); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return nil
}

func receivePieces(r io.Reader, to string) error {
	buf := make([]byte, floorPiece)
	for {
		var p piece
		err := binary.Read(r, binary.BigEndian, &p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r, buf[:p.Length]); err != nil {
			return err
		}
		if sha256.Sum256(buf[:p.Length]) != p.Sum {
			return errors.New("the content is not what was sent")
		}
		f, err := os.OpenFile(p.in(to), os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(buf[:p.Length], p.Offset)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}
