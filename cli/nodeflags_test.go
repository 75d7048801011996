package cli

import (
	"net"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node/api"
)

func TestHostPort(t *testing.T) {
	good := map[string]string{
		"24160":          ":24160",
		":0":             ":0",
		"10.0.0.1":       "10.0.0.1:7",
		"10.0.0.1:5":     "10.0.0.1:5",
		"::1":            "[::1]:7",
		"[::1]":          "[::1]:7",
		"[::1]:5":        "[::1]:5",
		"host.example":   "host.example:7",
		"host.example:9": "host.example:9",
	}
	for in, want := range good {
		got, err := hostPort(in, "7")
		require.NoError(t, err, in)
		assert.Equal(t, want, got)
	}
	for _, in := range []string{"", "host:http", "host:70000", "a b", "http://x", "::zz"} {
		_, err := hostPort(in, "7")
		assert.Equal(t, api.ExitUsage, api.Describe(err).Code, in)
	}
}

func TestUsableAddresses(t *testing.T) {
	network := func(s string) net.Addr { return &net.IPNet{IP: net.ParseIP(s), Mask: net.CIDRMask(8, 32)} }
	all := []net.Addr{network("127.0.0.1"), network("::1"), network("fe80::1"), network("2001:db8::1"), network("192.168.1.2")}
	assert.Equal(t, []string{"192.168.1.2:5", "[2001:db8::1]:5"}, usable(all, "5"))
	assert.Equal(t, []string{"127.0.0.1:5", "[::1]:5"}, usable(all[:3], "5"))
	many := make([]net.Addr, 20)
	for i := range many {
		many[i] = network("10.0.0.1")
	}
	assert.Len(t, usable(many, "5"), maxAddresses)
}

func TestAdvertised(t *testing.T) {
	specific := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5}
	got, err := advertised(nil, specific)
	require.NoError(t, err)
	assert.Equal(t, []string{"10.0.0.1:5"}, got)
	got, err = advertised([]string{"example.org", "10.0.0.9:77"}, specific)
	require.NoError(t, err)
	assert.Equal(t, []string{"example.org:5", "10.0.0.9:77"}, got)
	_, err = advertised([]string{"77"}, specific)
	assert.Equal(t, api.ExitUsage, api.Describe(err).Code)
}

func TestBusyPorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()

	// The default one gives way to a free one.
	ln, err := listen("listen", "", taken.Addr().String())
	require.NoError(t, err)
	assert.NotEqual(t, taken.Addr(), ln.Addr())
	require.NoError(t, ln.Close())

	// One that was asked for does not.
	_, err = listen("listen", taken.Addr().String(), ":0")
	failure := api.Describe(err)
	assert.Equal(t, "port_busy", failure.ID)
	assert.Equal(t, api.ExitError, failure.Code)
}

func TestSizesAndRates(t *testing.T) {
	var b byteSize
	require.NoError(t, b.Set("200GiB"))
	assert.EqualValues(t, 200<<30, b)
	assert.Equal(t, "214748364800", b.String())
	require.Error(t, b.Set("lots"))
	var r byteRate
	assert.Nil(t, r.limiter())
	require.NoError(t, r.Set("5MiB/s"))
	assert.InDelta(t, 5<<20, float64(r.limiter().Limit()), 0)
}

func TestArgumentsForTheDaemon(t *testing.T) {
	var o nodeOptions
	f := pflag.NewFlagSet("up", pflag.ContinueOnError)
	o.AddFlags(f, true)
	require.NoError(t, f.Parse([]string{"--listen", ":0", "--advertise", "a,b", "--capacity", "1KiB", "--name", "x y"}))
	given := map[string]origin{"listen": byFlag, "advertise": byFlag, "capacity": byFlag, "name": byEnvironment}
	assert.Equal(t, []string{"--listen=:0", "--advertise=a", "--advertise=b", "--capacity=1024"}, arguments(f, given))
}
