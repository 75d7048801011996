package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
	"github.com/dhtfs/dhtfs/node/watch"
)

// memoryLimit is where the garbage collector begins to try harder, unless
// GOMEMLIMIT says otherwise. What it does not count, the program itself and the
// mapped table, takes some 40 MiB more.
const memoryLimit = 48 << 20

func newDaemonCommand(a *app) *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the node in the foreground, for systemd and containers",
		Long: `Run the node in the foreground until SIGTERM or SIGINT, or until "dhtfs down".
If this home is no member of a ring, a new ring is created, as "dhtfs up" does.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDaemon(cmd.Context(), a, cmd, &o) },
	}
	o.AddFlags(cmd.Flags(), true)
	return cmd
}

func runDaemon(ctx context.Context, a *app, cmd *cobra.Command, o *nodeOptions) error {
	if err := a.paths.make(); err != nil {
		return err
	}
	unlock, err := lockHome(a.paths)
	if err != nil {
		return err
	}
	defer unlock()
	if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memoryLimit)
	}
	membership, _, err := foundIfNone(a.paths, o)
	if err != nil {
		return err
	}
	d, err := openDaemon(a, o, membership)
	if err != nil {
		return err
	}
	if err := remember(a, cmd, d.info); err != nil {
		d.close()
		return err
	}
	for _, dir := range o.watch {
		if _, err := d.watch.Add(watch.Folder{Dir: dir}); err != nil && !errors.Is(err, watch.ErrTwice) {
			d.close()
			return err
		}
	}
	left, err := d.run(ctx)
	if err == nil && left {
		var kept string
		kept, err = retire(a.paths, time.Now())
		if kept != "" {
			d.log.Warn("files that nobody took over are kept", "dir", kept)
		}
	}
	return err
}

// foundIfNone loads the membership of a home, whose lock the caller has, or
// starts a ring of its own.
func foundIfNone(p paths, o *nodeOptions) (m *node.Membership, founded bool, err error) {
	m, err = node.LoadMembership(p.Membership)
	if err == nil {
		if gone := m.Departed(); gone != nil {
			return nil, false, fmt.Errorf("the home %s: %w", p.place(), gone)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return m, false, err
	}
	m, err = node.Found(p.Membership, node.RingOptions{Label: o.name, VNodes: o.vnodes, N: o.replicas})
	if err != nil {
		return nil, false, err
	}
	return m, true, nil
}

// daemon is a node with its local API.
type daemon struct {
	paths  paths
	log    *slog.Logger
	node   *node.Node
	watch  *watch.Service
	info   daemonInfo
	socket net.Listener
	http   net.Listener // nil when it is switched off
	token  string
}

// openDaemon opens the ports and the node; nothing runs yet.
func openDaemon(a *app, o *nodeOptions, m *node.Membership) (d *daemon, err error) {
	d = &daemon{paths: a.paths, log: a.logger()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	ring, err := o.listenRing()
	if err != nil {
		return d, err
	}
	defer func() {
		if d.node == nil {
			_ = ring.Close()
		}
	}()
	advertise, err := advertised(o.advertise, ring.Addr().(*net.TCPAddr))
	if err != nil {
		return d, err
	}
	if d.http, err = o.listenHTTP(); err != nil {
		return d, err
	}
	if d.token, err = loadToken(a.paths.tokenFile()); err != nil {
		return d, err
	}
	if old, err := readDaemonInfo(a.paths.daemonFile()); err == nil {
		api.RemoveSocket(old.Socket) // its daemon is gone: we have the lock
	}
	path, err := api.SocketPath(a.paths.State)
	if err != nil {
		return d, err
	}
	if d.socket, err = api.ListenSocket(path); err != nil {
		return d, err
	}
	d.node, err = node.New(node.Config{
		Membership: m,
		Dir:        a.paths.Data,
		StateDir:   a.paths.Membership,
		Listener:   ring,
		Advertise:  advertise,
		Capacity:   int64(o.capacity),
		MinFree:    int64(o.minFree),
		Timing:     node.Timing{ScrubEvery: o.scrubEvery, ScrubRate: int64(o.scrubLimit.perSecond)},
		Label:      o.name,
		Version:    version(),
		Logger:     d.log,
	})
	if err != nil {
		d.node = nil
		return d, err
	}
	if d.watch, err = openWatch(a.paths, d.node, m, d.log); err != nil {
		return d, err
	}
	d.info = daemonInfo{
		PID:     os.Getpid(),
		Socket:  path,
		Listen:  ring.Addr().String(),
		NodeID:  m.Positions()[0].String(),
		Version: version(),
		Started: time.Now().UTC(),
	}
	if d.http != nil {
		d.info.HTTP = d.http.Addr().String()
	}
	return d, nil
}

// close gives back what openDaemon took, for a daemon that will not run.
func (d *daemon) close() {
	for _, ln := range []net.Listener{d.socket, d.http} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// run serves until ctx ends, the API is asked to stop, or the node has left
// the ring, which it reports.
func (d *daemon) run(ctx context.Context) (left bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	origin := ""
	if d.http != nil {
		origin = "http://" + d.info.HTTP
	}
	handler := api.New(api.Config{Node: d.node, Watch: d.watch, Token: d.token, Origin: origin, Stop: stop, Logger: d.log})

	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	nodeDone := make(chan error, 1)
	go func() {
		err := d.node.Run(nodeCtx)
		left = err == nil && nodeCtx.Err() == nil
		stop()
		nodeDone <- err
	}()

	var apis errgroup.Group
	serve := func(ln net.Listener, browser bool) {
		h := handler.Local()
		if browser {
			h = handler.Browser()
		}
		apis.Go(func() error {
			defer stop()
			return api.Serve(ctx, ln, h, d.log)
		})
	}
	apis.Go(func() error { return d.watch.Run(ctx) })
	serve(d.socket, false)
	if d.http != nil {
		serve(d.http, true)
	}
	if err = d.info.write(d.paths.daemonFile()); err != nil {
		stop()
	}
	d.log.Info("daemon is up", "node", d.info.NodeID, "listen", d.info.Listen, "http", d.info.HTTP, "version", d.info.Version)

	// The node goes last: calls in progress need it.
	err = errors.Join(err, apis.Wait())
	stopNode()
	err = errors.Join(err, <-nodeDone)
	api.RemoveSocket(d.info.Socket)
	err = errors.Join(err, os.Remove(d.paths.daemonFile()))
	d.log.Info("daemon has stopped", "left", left)
	return left, err
}
