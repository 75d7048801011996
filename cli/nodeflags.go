package cli

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// nodeOptions are the flags that say what kind of node this is. They are
// remembered in the home.
type nodeOptions struct {
	listen    string
	advertise []string
	name      string
	http      string
	vnodes    int
	replicas  int
	capacity  byteSize
	minFree   byteSize

	scrubEvery time.Duration
	scrubLimit byteRate
	watch      []string
}

// AddFlags declares the flags on f. replicas is for those who create a ring.
func (o *nodeOptions) AddFlags(f *pflag.FlagSet, replicas bool) {
	f.StringVar(&o.listen, "listen", "", "`ADDR` for other nodes (default :24160, or a free port when that is busy)")
	f.StringSliceVar(&o.advertise, "advertise", nil, "`HOST[:PORT]|IFACE` under which others reach this node (default: --listen, or every usable address)")
	f.StringVar(&o.name, "name", "", "`LABEL` of this node (default: the host name)")
	f.StringVar(&o.http, "http", "", "`ADDR` of the dashboard and HTTP API, or off (default 127.0.0.1:24161, or a free port when that is busy)")
	f.IntVar(&o.vnodes, "vnodes", 1, "places on the ring, when joining or creating one")
	f.Var(&o.capacity, "capacity", "most `BYTES` of files to keep, like 200GiB (default: the disk)")
	f.Var(&o.minFree, "min-free", "`BYTES` to leave free on the disk, like 1GiB (default 1GiB)")
	f.DurationVar(&o.scrubEvery, "scrub-every", 7*24*time.Hour, "how often to read back and check everything held here")
	o.scrubLimit.perSecond = 8 << 20
	f.Var(&o.scrubLimit, "scrub-limit", "read no faster than this `RATE` for that, like 8MiB/s")
	f.StringArrayVar(&o.watch, "watch", nil, "publish what is in `DIR`, now and from then on; see dhtfs watch. May be repeated")
	if replicas {
		f.IntVarP(&o.replicas, "replicas", "n", 3, "copies of each file, when the ring is created")
	}
}

// remembered are the flags of nodeOptions that config.toml keeps. Not among
// them: what the membership holds for good.
func remembered() []string {
	return []string{"listen", "advertise", "name", "http", "vnodes", "capacity", "min-free", "scrub-every", "scrub-limit", "log-level", "log-format"}
}

// arguments are the flags of f that were given, to be given to the daemon.
func arguments(f *pflag.FlagSet, given map[string]origin) []string {
	var args []string
	for _, name := range append(remembered(), "replicas") {
		flag := f.Lookup(name)
		if flag == nil || given[name] != byFlag {
			continue
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				args = append(args, "--"+name+"="+v)
			}
			continue
		}
		args = append(args, "--"+name+"="+flag.Value.String())
	}
	return args
}

// byteSize is a flag that takes "5MiB".
type byteSize int64

// Set reads a number of bytes with or without a unit.
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return fmt.Errorf("%q is no size; write it like 200GiB", s)
	}
	*b = byteSize(n)
	return nil
}

// String is the size in bytes, exactly; nothing for zero.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type is what the help calls it.
func (b *byteSize) Type() string { return "size" }

// hostPort completes an address: a bare port is that port on every address, a
// bare host gets the port otherwise.
func hostPort(s string, otherwise string) (string, error) {
	if s == "" {
		return "", usagef("an address is empty")
	}
	if port, err := strconv.ParseUint(s, 10, 16); err == nil {
		return fmt.Sprintf(":%d", port), nil
	}
	if _, port, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", usagef("%q is no address: the port is no number up to 65535", s)
		}
		return s, nil
	}
	host := strings.Trim(s, "[]")
	if strings.ContainsAny(host, "[]/ ") || (strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		return "", usagef("%q is no address; write HOST:PORT", s)
	}
	return net.JoinHostPort(host, otherwise), nil
}

// maxAddresses is how many addresses a node advertises.
const maxAddresses = 6

// advertised returns the addresses that others should dial, for a node that
// listens on addr.
func advertised(given []string, addr *net.TCPAddr) ([]string, error) {
	port := strconv.Itoa(addr.Port)
	if len(given) == 0 {
		if !addr.IP.IsUnspecified() {
			return []string{addr.String()}, nil
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("list this machine's addresses: %w", err)
		}
		return usable(addrs, port), nil
	}
	var out []string
	for _, g := range given {
		if iface, err := net.InterfaceByName(g); err == nil {
			addrs, err := iface.Addrs()
			if err != nil {
				return nil, fmt.Errorf("list the addresses of %s: %w", g, err)
			}
			out = append(out, usable(addrs, port)...)
			continue
		}
		address, err := hostPort(g, port)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(address, ":") {
			return nil, usagef("--advertise %s: a host is missing", g)
		}
		out = append(out, address)
	}
	return out[:min(len(out), maxAddresses)], nil
}

// usable picks what other machines may reach, IPv4 first; loopback only when
// there is nothing else.
func usable(addrs []net.Addr, port string) []string {
	var ips, loopback []net.IP
	for _, a := range addrs {
		network, ok := a.(*net.IPNet)
		switch {
		case !ok || network.IP.IsMulticast() || network.IP.IsLinkLocalUnicast():
		case network.IP.IsLoopback():
			loopback = append(loopback, network.IP)
		default:
			ips = append(ips, network.IP)
		}
	}
	if len(ips) == 0 {
		ips = loopback
	}
	slices.SortStableFunc(ips, func(a, b net.IP) int { return len(b.To4()) - len(a.To4()) })
	var out []string
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		out = append(out, net.JoinHostPort(ip.String(), port))
	}
	return out
}
