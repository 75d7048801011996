package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// random is a stream of bytes that cannot be compressed, the same each time.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func writeRandom(at string, n int64) error { return writeFile(at, io.LimitReader(random(1), n)) }

func writeFile(at string, r io.Reader) error {
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// writeLogs writes n bytes of what a web server logs. After logPeriod it repeats
// itself, further back than any compressor here looks.
func writeLogs(at string, n int64) error {
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	period := logLines(int(min(n, logPeriod)))
	for n > 0 && err == nil {
		k := min(n, int64(len(period)))
		_, err = w.Write(period[:k])
		n -= k
	}
	return errors.Join(err, w.Flush(), f.Close())
}

const logPeriod = 16 << 20

func logLines(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	paths := []string{"/", "/index.html", "/api/v1/files", "/api/v1/users", "/static/app.js", "/static/style.css", "/favicon.ico", "/download"}
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0", "Go-http-client/2.0"}
	codes := []int{200, 200, 200, 200, 304, 404, 500}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b []byte
	for len(b) < n {
		now = now.Add(time.Duration(r.IntN(2000)) * time.Millisecond)
		b = fmt.Appendf(b, "10.%d.%d.%d - - [%s] \"GET %s?id=%d HTTP/1.1\" %d %d \"-\" \"%s\" rt=0.%03d\n",
			r.IntN(4), r.IntN(256), r.IntN(256), now.Format("02/Jan/2006:15:04:05 -0700"), paths[r.IntN(len(paths))], r.IntN(100000),
			codes[r.IntN(len(codes))], r.IntN(50000), agents[r.IntN(len(agents))], r.IntN(1000))
	}
	return b[:n]
}

// smallName is the name of a file of the tree.
func smallName(i int) string { return fmt.Sprintf("f%05d", i) }

func writeTree(at string, files int) error {
	if err := os.Mkdir(at, 0o700); err != nil {
		return err
	}
	bytes := random(2)
	for i := range files {
		if err := writeFile(filepath.Join(at, smallName(i)), io.LimitReader(bytes, smallFile)); err != nil {
			return err
		}
	}
	return nil
}
