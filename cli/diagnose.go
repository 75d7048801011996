package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/node"
)

// Limits beyond which a check is not content.
const (
	clockWarns   = 2 * time.Second
	clockFails   = 5 * time.Minute // near what makes certificates fail
	fewOpenFiles = 1024
	fewWatches   = 8192
	fewInstances = 64
	dialPatience = 2 * time.Second
	spaceWarns   = 20 // a 20th of the capacity
)

// home checks that this user can keep a node there, and no other read its keys.
func (p *patient) home() finding {
	paths := p.app.paths
	f := ok("home", "%s can be written", paths.place())
	for _, dir := range []string{paths.Data, paths.State} {
		temp, err := os.CreateTemp(dir, ".doctor-*")
		if errors.Is(err, fs.ErrNotExist) {
			return ok("home", "%s is not there yet", paths.place()).warn("start a ring, or join one:  %s", p.app.command("up"))
		}
		if err != nil {
			return ok("home", "%s cannot be written: %v", dir, err).
				fail("give it to this user, mount it for writing, or use another:  --home DIR")
		}
		_ = temp.Close()
		_ = os.Remove(temp.Name())
	}
	if info, err := os.Stat(paths.Membership); err == nil && exposed(info.Mode()) {
		return ok("home", "others on this machine can read %s, which has the node's key", paths.Membership).
			fail("chmod 700 %s", shellQuote(paths.Membership))
	}
	return f
}

// clock compares this machine's with those of the other nodes.
func (p *patient) clock() finding {
	now := time.Now()
	if now.Year() < 2025 {
		return ok("clock", "it is %s here", now.Format(time.DateOnly)).fail("set this machine's clock; certificates do not work otherwise")
	}
	var worst time.Duration
	who, compared := "", 0
	for _, m := range p.nodes {
		if m.Self || m.State == string(node.Silent) {
			continue
		}
		compared++
		if off := time.Duration(m.Clock * float64(time.Millisecond)); off.Abs() > worst.Abs() || who == "" {
			worst, who = off, m.Name
		}
	}
	if compared == 0 {
		return ok("clock", "no other node answers to compare it with")
	}
	f := ok("clock", "within %v of %s", max(worst.Abs().Round(time.Millisecond), time.Millisecond), plural(compared, "other node"))
	if worst.Abs() < clockWarns {
		return f
	}
	f.Message = fmt.Sprintf("the clock of %s is %v %s this machine's", who, worst.Abs().Round(time.Second), aheadOf(worst))
	if worst.Abs() < clockFails {
		return f.warn("have the machines keep time:  timedatectl set-ntp true")
	}
	return f.fail("have the machines keep time:  timedatectl set-ntp true")
}

func aheadOf(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

// disk looks at the room there is.
func (p *patient) disk() finding {
	for _, m := range p.nodes {
		if !m.Self {
			continue
		}
		f := ok("disk", "%s of files, room for %s more", size(m.Used), size(m.Free))
		fix := fmt.Sprintf("free space, or give the node more:  %s", p.app.command("up --capacity BYTES --min-free BYTES"))
		switch {
		case m.Free <= 0:
			return f.fail("%s", fix)
		case m.Free < m.Capacity/spaceWarns:
			return f.warn("%s", fix)
		}
		return f
	}
	return ok("disk", "how much room there is, a running node knows")
}

// attributes looks whether the file system keeps extended attributes.
func (p *patient) attributes() finding {
	dir := p.app.paths.Data
	temp, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return ok("xattrs", "cannot be tried out: %v", err).warn("see the finding on the home")
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	defer func() { _ = temp.Close() }()
	if err := probeAttribute(temp); err != nil {
		return ok("xattrs", "the file system keeps none (%v): a lost registers.db could not be rebuilt from the files", err).
			warn("keep the home on ext4, xfs, btrfs or APFS if you can")
	}
	return ok("xattrs", "kept by the file system")
}

// openFiles looks how many this user may have.
func (p *patient) openFiles() finding {
	most, err := openFileLimit()
	if err != nil {
		return ok("limits", "how many files can be open is not limited here, or not known")
	}
	f := ok("limits", "%d files can be open at once", most)
	if most < fewOpenFiles {
		return f.warn("raise the limit:  ulimit -n %d  (LimitNOFILE= in a systemd unit)", fewOpenFiles)
	}
	return f
}

// watches looks at the limits of inotify, which watched folders need.
func (p *patient) watches() finding {
	watches, instances, err := inotifyLimits()
	if err != nil {
		return ok("inotify", "not needed here")
	}
	f := ok("inotify", "%d watches and %d instances for each user", watches, instances)
	switch {
	case watches < fewWatches:
		return f.warn("for watched folders with many directories:  sudo sysctl fs.inotify.max_user_watches=524288")
	case instances < fewInstances:
		return f.warn("for many watched folders:  sudo sysctl fs.inotify.max_user_instances=512")
	}
	return f
}

// freePort looks whether the port of a node that does not run is free.
func (p *patient) freePort() finding {
	address := defaultListen
	if settings, err := loadSettings(p.app.paths.Config); err == nil && settings.String("listen") != "" {
		address = settings.String("listen")
	}
	if full, err := hostPort(address, "0"); err == nil {
		address = full
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return ok("port", "%s is not free: %v", address, err).
			warn("stop what has it, or choose another:  %s", p.app.command("up --listen :PORT"))
	}
	_ = l.Close()
	return ok("port", "%s is free", address)
}

// port looks whether the node can be reached under its own address.
func (p *patient) port(ctx context.Context) finding {
	for _, m := range p.nodes {
		if !m.Self || m.Address == "" {
			continue
		}
		dialer := net.Dialer{Timeout: dialPatience}
		conn, err := dialer.DialContext(ctx, "tcp", m.Address)
		if err != nil {
			return ok("port", "this node does not answer at %s, which it tells others: %v", m.Address, err).
				warn("open the port in the firewall, or say where it can be reached:  %s", p.app.command("up --advertise HOST:PORT"))
		}
		_ = conn.Close()
		return ok("port", "%s answers", m.Address)
	}
	return ok("port", "listening on %s", p.status.Listen)
}

// versions looks whether the nodes and this command are of one version.
func (p *patient) versions() finding {
	if p.status.Version != version() {
		return ok("version", "the daemon is %s, this command %s", p.status.Version, version()).
			warn("start the daemon again:  %s && %s", p.app.command("down"), p.app.command("up"))
	}
	var others []string
	for _, m := range p.nodes {
		if m.Version != "" && m.Version != version() {
			others = append(others, m.Name+" "+m.Version)
		}
	}
	if len(others) > 0 {
		return ok("version", "%s here; %s", version(), strings.Join(others, ", ")).warn("install the same version on all machines")
	}
	return ok("version", "%s everywhere", version())
}

// members looks whether all answer and take content.
func (p *patient) members() finding {
	var silent []string
	for _, m := range p.nodes {
		if m.State != string(node.Alive) {
			silent = append(silent, m.Name+" is "+m.State)
		}
	}
	if len(silent) > 0 {
		return ok("ring", "%s", strings.Join(silent, ", ")).warn("see to these machines:  %s", p.app.command("nodes"))
	}
	return ok("ring", "%s, and all answer", plural(len(p.nodes), "node"))
}

// files looks for copies that are missing or damaged.
func (p *patient) files() finding {
	aside, _ := filepath.Glob(filepath.Join(p.app.paths.Data, "quarantine", "*", "*"))
	var bytes int64
	for _, at := range aside {
		if info, err := os.Lstat(at); err == nil {
			bytes += info.Size()
		}
	}
	f := ok("content", "%s here, none known to lack a copy", plural(p.status.Files, "file"))
	var found, hints []string
	if p.status.CopiesMissing > 0 {
		found = append(found, plural(p.status.CopiesMissing, "copy")+" missing")
		hints = append(hints, "copies are made when nodes answer and have room:  "+p.app.command("df"))
	}
	if len(p.status.Warnings) > 0 {
		found = append(found, p.status.Warnings...)
		hints = append(hints, "see  "+p.app.command("nodes")+"  and  "+p.app.command("verify --repair"))
	}
	if len(aside) > 0 {
		found = append(found, plural(len(aside), "damaged or foreign file")+" put aside ("+size(bytes)+")")
		hints = append(hints, "look at them, then delete them (they go by themselves after 30 days): "+filepath.Join(p.app.paths.Data, "quarantine"))
	}
	if len(found) > 0 {
		f.Message = strings.Join(found, "; ")
		return f.warn("%s", strings.Join(hints, "; "))
	}
	return f
}
