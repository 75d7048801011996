package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// latency measures how long the store of one small file takes, one after the
// other, and beside each what it is made of: syncs of this disk.
func (b *bench) latency(ctx context.Context, t *table) error {
	var asked, syncs, commands []time.Duration
	content := make([]byte, smallFile)
	bytes := random(3)
	for i := range b.stores {
		_, _ = io.ReadFull(bytes, content) // it never fails
		node := i % b.nodes
		took, err := timed(func() error { return b.put(ctx, node, fmt.Sprintf("one/%06d", i), content) })
		if err != nil {
			return err
		}
		asked = append(asked, took)
		if took, err = timed(func() error { return b.writeSynced(fmt.Sprintf("synced-%d", i%8), content) }); err != nil {
			return err
		}
		syncs = append(syncs, took)
		if i%10 > 0 {
			continue
		}
		at := filepath.Join(b.tree, smallName(i/10%b.files))
		if took, err = timed(func() error {
			_, err := b.ring.dhtfs(ctx, node, "store", "-q", at, "--as", fmt.Sprintf("command/%06d", i))
			return err
		}); err != nil {
			return err
		}
		commands = append(commands, took)
	}
	title := fmt.Sprintf("store one file of %s", size(smallFile))
	line := func(by string, d []time.Duration) {
		t.lines = append(t.lines, []string{
			title, by, seconds(median(d)), "p99 " + seconds(quantile(d, 0.99)),
			fmt.Sprintf("%.2f", float64(median(d))/float64(median(syncs))), "one fsync", "", "",
		})
	}
	line("write and fsync", syncs)
	line("dhtfs, by its API", asked)
	line("dhtfs, as a command", commands)
	return nil
}

func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

// put stores through the daemon's own socket, as the command does.
func (b *bench) put(ctx context.Context, node int, name string, content []byte) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.ring.sockets[node])
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://localhost/v1/file?name="+url.QueryEscape(name), bytes.NewReader(content))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("store %s: %s: %s", name, response.Status, answer)
	}
	return err
}

// writeSynced writes a new file and syncs it, and nothing else.
func (b *bench) writeSynced(name string, content []byte) error {
	at := filepath.Join(b.dir, name)
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(at))
}
