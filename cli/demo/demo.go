package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Fewest and most nodes that the demo plays with. With two, a killed node
// leaves one, and there is nothing to see.
const (
	MinNodes = 3
	MaxNodes = 30
)

// ErrDiffers means that a file came back from the ring other than it was stored.
var ErrDiffers = errors.New("fetched content differs from what was stored")

// Options of a run. The zero value of every field but Out and Nodes is useful.
type Options struct {
	Nodes   int       // daemons to start, MinNodes to MaxNodes
	Files   []string  // files and directories to store; none: the sample files
	Keep    bool      // leave the daemons running and their files in place
	Program string    // the dhtfs to run; empty: this program
	Temp    string    // where to make the directory for everything; empty: os.TempDir
	Out     io.Writer // where the story is told
	JSON    bool      // tell it as JSON lines
	Live    bool      // Out is a terminal: show what is going on while it does
	Color   bool      // with ANSI colours
}

func (o *Options) validate() error {
	if o.Nodes < MinNodes || o.Nodes > MaxNodes {
		return fmt.Errorf("the demo plays with %d to %d nodes, not %d", MinNodes, MaxNodes, o.Nodes)
	}
	if o.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program to start the daemons with: %w", err)
		}
		o.Program = program
	}
	return nil
}

// Run plays the demo. It returns nil when every file came back whole each time.
// ErrDiffers, the context's error and a failed command's message are wrapped.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Temp, "dhtfs-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	r := &run{out: newTeller(o), dir: dir, machines: newMachines(o.Program, dir, o.Nodes), began: time.Now()}
	defer func() {
		if o.Keep {
			r.out.kept(dir, r.machines)
			return
		}
		err = errors.Join(err, r.clear())
	}()
	paths := o.Files
	if len(paths) == 0 {
		if paths, err = unpackSamples(filepath.Join(dir, "sample-files")); err != nil {
			return err
		}
	}
	if r.files, err = gather(paths); err != nil {
		return err
	}
	r.out.title(fmt.Sprintf("a ring of %d daemons on this machine, under %s", o.Nodes, dir))
	if err := r.play(ctx, paths); err != nil {
		r.out.failed()
		return err
	}
	r.report.Seconds = time.Since(r.began).Seconds()
	r.out.summary(r.report)
	return nil
}

// clear ends the daemons, all at once, and removes their files.
func (r *run) clear() error {
	ended := make(chan error)
	for _, m := range r.machines {
		go func() { ended <- m.stop() }()
	}
	var all error
	for range r.machines {
		all = errors.Join(all, <-ended)
	}
	return errors.Join(all, os.RemoveAll(r.dir))
}
