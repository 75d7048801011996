package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

// inbox is where the baselines put what is sent to them.
const inbox = "inbox"

// senders are the other ways to bring a file or folder to a disk.
func (b *bench) senders(ctx context.Context, path string) []contender {
	s := &b.servers
	empty := func() error { _, err := b.fresh(inbox); return err }
	to := filepath.Join(b.dir, inbox)
	all := []contender{{name: "cp and sync", before: empty, run: func(u *usage) error {
		if err := u.command(ctx, "cp", "-r", path, to); err != nil {
			return err
		}
		return b.flush(ctx, u)
	}}}
	if path != b.tree {
		all = append(all, contender{name: "raw TCP", servers: []int{os.Getpid()}, before: empty, run: func(*usage) error {
			return rawTCP(path, filepath.Join(to, "raw"))
		}})
	}
	if s.rsync != nil {
		all = append(all,
			contender{name: rsyncPlain, servers: s.rsync.pids(), before: empty, run: func(u *usage) error {
				return u.command(ctx, "rsync", "-r", "--whole-file", path, s.rsync.url("rsync", inbox+"/"))
			}},
			contender{name: rsyncFsync, servers: s.rsync.pids(), before: empty, run: func(u *usage) error {
				return u.command(ctx, "rsync", "-r", "--whole-file", "--fsync", path, s.rsync.url("rsync", inbox+"/"))
			}})
	}
	if s.ssh != nil {
		all = append(all, contender{name: "scp", servers: s.ssh.pids(), before: empty, run: func(u *usage) error {
			return u.command(ctx, append(b.scp(), "-r", path, "127.0.0.1:"+to)...)
		}})
	}
	return all
}

// receivers are the other ways to get a file or folder from a server.
func (b *bench) receivers(ctx context.Context, path string) []contender {
	s := &b.servers
	empty := func() error { _, err := b.fresh(inbox); return err }
	to := filepath.Join(b.dir, inbox)
	name := filepath.Base(path)
	all := []contender{b.floor(path, 1, func(int) string {
		if path != b.tree {
			return filepath.Join(to, name)
		}
		return to
	})}
	if s.rsync != nil {
		all = append(all, contender{name: rsyncPlain, servers: s.rsync.pids(), before: empty, run: func(u *usage) error {
			return u.command(ctx, "rsync", "-r", "--whole-file", s.rsync.url("rsync", name), to)
		}})
	}
	if s.ssh != nil {
		all = append(all, contender{name: "scp", servers: s.ssh.pids(), before: empty, run: func(u *usage) error {
			return u.command(ctx, append(b.scp(), "-r", "127.0.0.1:"+path, to)...)
		}})
	}
	if s.nginx != nil {
		all = append(all, contender{name: "nginx and curl", servers: s.nginx.pids(), before: empty, run: func(u *usage) error {
			if path != b.tree {
				return u.command(ctx, "curl", "-sfo", filepath.Join(to, name), s.nginx.url("http", name))
			}
			return u.command(ctx, "curl", "-sfZ", "--parallel-max", "16", "--create-dirs", "-o", filepath.Join(to, "#1"),
				s.nginx.url("http", fmt.Sprintf("%s/f[00000-%05d]", name, b.files-1)))
		}})
	}
	return all
}

// pullers are the other ways for several clients to get a file at once.
func (b *bench) pullers(ctx context.Context, clients int) []contender {
	s := &b.servers
	empty := func() error { _, err := b.fresh(inbox); return err }
	to := func(i int) string { return filepath.Join(b.dir, inbox, fmt.Sprint(i)) }
	name := filepath.Base(b.part)
	all := []contender{b.floor(b.part, clients, to)}
	if s.rsync != nil {
		all = append(all, contender{name: rsyncPlain, servers: s.rsync.pids(), before: empty, run: func(u *usage) error {
			return atOnce(clients, func(i int) error {
				return u.command(ctx, "rsync", "--whole-file", s.rsync.url("rsync", name), to(i))
			})
		}})
	}
	if s.nginx != nil {
		all = append(all, contender{name: "nginx and curl", servers: s.nginx.pids(), before: empty, run: func(u *usage) error {
			return atOnce(clients, func(i int) error {
				return u.command(ctx, "curl", "-sfo", to(i), s.nginx.url("http", name))
			})
		}})
	}
	return all
}

// floor is what a fetch cannot do without, for several clients at once.
func (b *bench) floor(path string, clients int, to func(client int) string) contender {
	var pieces []piece
	return contender{
		name: "Go, TLS and SHA-256", servers: []int{os.Getpid()},
		before: func() (err error) {
			if pieces == nil {
				pieces, err = cut(path)
			}
			if err == nil {
				_, err = b.fresh(inbox)
			}
			return err
		},
		run: func(*usage) error {
			return atOnce(clients, func(i int) error { return floor(path, to(i), pieces) })
		},
	}
}

// rawTCP sends a file over a loopback connection into another one, as little as
// can be done: no encryption, no check, no sync.
func rawTCP(from, to string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- receive(ln, to) }()
	err = func() error {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		_, err = io.Copy(conn, in)
		return errors.Join(err, conn.Close())
	}()
	if err != nil {
		_ = ln.Close()
	}
	return errors.Join(err, <-received)
}

func receive(ln net.Listener, to string) error {
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = ln.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, conn)
	return errors.Join(err, out.Close())
}
