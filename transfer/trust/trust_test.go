package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func newKey(tb testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	return key
}

func pub(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// firstNode makes a ring and its first member.
func firstNode(tb testing.TB) (*Authority, *Identity) {
	key := newKey(tb)
	a, err := CreateRing("otter", 3, 2, 2, key, now)
	require.NoError(tb, err)
	return a, issue(tb, a, key, "first", nil)
}

func issue(tb testing.TB, a *Authority, key ed25519.PrivateKey, label string, members *Members) *Identity {
	chain, err := a.Issue(pub(key), label, 1, members, now)
	require.NoError(tb, err)
	id, err := NewIdentity(key, chain)
	require.NoError(tb, err)
	return id
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		n, w, r int
		ok      bool
	}{
		{3, 2, 2, true},
		{1, 1, 1, true},
		{5, 3, 3, true},
		{16, 9, 8, true},
		{5, 5, 1, true},
		{4, 2, 3, false},
		{3, 2, 1, false},
		{3, 1, 3, false},
		{0, 0, 0, false},
		{17, 9, 9, false},
		{3, 4, 2, false},
		{3, 2, 4, false},
		{-1, -1, -1, false},
	} {
		_, err := CreateRing("x", c.n, c.w, c.r, newKey(t), now)
		if c.ok {
			require.NoError(t, err, "%+v", c)
		} else {
			require.ErrorIs(t, err, ErrSettings, "%+v", c)
		}
	}
	for _, name := range []string{"", "a\x1b[2J", string(make([]byte, 65)), "\xff"} {
		_, err := CreateRing(name, 3, 2, 2, newKey(t), now)
		require.ErrorIs(t, err, ErrSettings)
	}
}

func TestChain(t *testing.T) {
	a, id := firstNode(t)
	c := id.Certificate()
	assert.Equal(t, "first", c.Label)
	assert.Equal(t, id.Machine(), c.Machine)
	assert.Equal(t, id.Machine(), c.Issuer)
	assert.Equal(t, "otter", id.Root().Genesis().Name)
	assert.Equal(t, now.Unix(), id.Root().Genesis().Created)
	assert.Equal(t, a.Root().ID(), id.Root().ID())
	require.NoError(t, c.ValidAt(now))
	require.NoError(t, c.ValidAt(now.Add(-time.Hour)), "a clock may be behind")
	require.ErrorIs(t, c.ValidAt(now.Add(-25*time.Hour)), ErrClock)
	require.ErrorIs(t, c.ValidAt(now.Add(6*365*24*time.Hour)), ErrClock)
	assert.Contains(t, c.ValidAt(now.Add(-25*time.Hour)).Error(), "clock")

	other, stranger := firstNode(t)
	_, err := a.Root().Verify(stranger.Chain())
	require.ErrorIs(t, err, ErrForeign, "another ring")
	mixed := [][]byte{stranger.Chain()[0], id.Chain()[1]}
	_, err = a.Root().Verify(mixed)
	require.ErrorIs(t, err, ErrForeign, "a leaf of another issuer")
	_, err = a.Root().Verify([][]byte{id.Chain()[0], other.Root().DER()})
	require.Error(t, err)
	_, err = a.Root().Verify(id.Chain()[1:])
	require.Error(t, err, "an issuer is no node")
	_, err = a.Root().Verify(id.Chain()[:1])
	require.ErrorIs(t, err, ErrCertificate)
	_, err = NewIdentity(newKey(t), id.Chain())
	require.ErrorIs(t, err, ErrCertificate, "another key")
}

// A chain that was verified is remembered, and no other that resembles it.
func TestKnownChains(t *testing.T) {
	a, id := firstNode(t)
	chain := id.Chain()
	first, err := a.Root().Verify(chain)
	require.NoError(t, err)
	again, err := a.Root().Verify(chain)
	require.NoError(t, err)
	require.Same(t, first, again)

	_, err = a.Root().Verify([][]byte{append(bytes.Clone(chain[0]), 0), chain[1]})
	require.ErrorIs(t, err, ErrCertificate, "something after the leaf")
	changed := bytes.Clone(chain[0])
	changed[len(changed)-1] ^= 1
	_, err = a.Root().Verify([][]byte{changed, chain[1]})
	require.ErrorIs(t, err, ErrForeign, "another signature")
	der, err := a.certifyIssuer(pub(newKey(t)), id.Machine(), now)
	require.NoError(t, err)
	_, err = a.Root().Verify([][]byte{chain[0], der})
	require.ErrorIs(t, err, ErrForeign, "a known leaf under another issuer")

	for len(a.root.leaves) < maxKnownLeaves {
		a.root.leaves[leafKey{leaf: [32]byte{byte(len(a.root.leaves)), byte(len(a.root.leaves) >> 8)}}] = first
	}
	_, err = a.Root().Verify(issue(t, a, newKey(t), "another", nil).Chain())
	require.NoError(t, err)
	require.Less(t, len(a.root.leaves), maxKnownLeaves, "what is remembered is bounded")
}

// A node's certificate must not be able to issue others.
func TestALeafCannotIssue(t *testing.T) {
	a, id := firstNode(t)
	key := newKey(t)
	leaf, err := x509.ParseCertificate(id.Chain()[0])
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now, NotAfter: now.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: oidLeaf, Value: mustEncode(leafExtension{Vnodes: 1})}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, leaf, pub(key), id.key)
	require.NoError(t, err)
	_, err = a.Root().Verify([][]byte{der, id.Chain()[0]})
	require.ErrorIs(t, err, ErrCertificate)
}

func TestSignaturesHaveDomains(t *testing.T) {
	_, id := firstNode(t)
	sig := id.Sign("record", []byte("x"))
	require.NoError(t, Verify(id.Certificate().Key, "record", []byte("x"), sig))
	require.ErrorIs(t, Verify(id.Certificate().Key, "other", []byte("x"), sig), ErrSignature)
	require.ErrorIs(t, Verify(id.Certificate().Key, "record", []byte("y"), sig), ErrSignature)
	require.ErrorIs(t, Verify(nil, "record", []byte("x"), sig), ErrSignature)
}

// The bytes of a position may never change: files lie by them.
func TestGoldenPositions(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	p := Positions(pub(key), [16]byte{1, 2, 3}, 2)
	assert.Equal(t, "caa6ddfb563b7e18ee97f55ecd719e0bb47a8e0d", hex.EncodeToString(p[0][:]))
	assert.Equal(t, "665894b535cdef915d648b3d86c010b758cef327", hex.EncodeToString(p[1][:]))
}

func TestIssuerEvensTheRingOut(t *testing.T) {
	const rings, nodes = 60, 10
	fullest := 0.0
	for range rings {
		var taken [][20]byte
		for range nodes {
			key := make(ed25519.PublicKey, ed25519.PublicKeySize)
			_, _ = rand.Read(key)
			nonce, err := PickNonce(rand.Reader, key, 1, taken)
			require.NoError(t, err)
			taken = append(taken, Positions(key, nonce, 1)...)
		}
		unevenness(taken) // sorts
		most, last := 0.0, fraction(taken[nodes-1])-1
		for _, p := range taken {
			most, last = max(most, fraction(p)-last), fraction(p)
		}
		fullest += most * nodes / rings
	}
	assert.Less(t, fullest, 2.0, "mean share of the fullest of ten nodes; one random nonce gives about 3")
	_, err := PickNonce(bytes.NewReader(nil), nil, 1, nil)
	require.Error(t, err)
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	_, err := LoadIdentity(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = LoadAuthority(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)

	key, err := LoadOrCreateKey(dir)
	require.NoError(t, err)
	again, err := LoadOrCreateKey(dir)
	require.NoError(t, err)
	assert.True(t, key.Equal(again))

	a, err := CreateRing("x", 3, 2, 2, key, now)
	require.NoError(t, err)
	require.NoError(t, a.Save(dir))
	id := issue(t, a, key, "l", nil)
	require.NoError(t, id.Save(dir))
	a, err = LoadAuthority(dir)
	require.NoError(t, err)
	assert.Equal(t, id.Machine(), a.Machine())
	loaded, err := LoadIdentity(dir)
	require.NoError(t, err)
	assert.Equal(t, id.Chain(), loaded.Chain())
	issue(t, a, newKey(t), "second", nil)

	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 4, "no temporaries")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
	require.NoError(t, os.Remove(filepath.Join(dir, rootKeyFile)))
	_, err = LoadAuthority(dir)
	require.NoError(t, err, "the root's key may be kept elsewhere")
	require.NoError(t, saveKey(filepath.Join(dir, issuerKeyFile), newKey(t)))
	_, err = LoadAuthority(dir)
	require.ErrorIs(t, err, ErrCertificate)
	require.NoError(t, os.WriteFile(filepath.Join(dir, nodeCertFile), []byte("x"), 0o600))
	_, err = LoadIdentity(dir)
	require.Error(t, err)
}

func TestIssueChecksTheRequest(t *testing.T) {
	a, _ := firstNode(t)
	key := pub(newKey(t))
	for _, c := range []struct {
		label  string
		vnodes int
	}{{"x", 0}, {"x", MaxVnodes + 1}, {"\x1b", 1}, {string(make([]byte, 65)), 1}} {
		_, err := a.Issue(key, c.label, c.vnodes, nil, now)
		require.ErrorIs(t, err, ErrBadRequest)
	}
	_, err := a.Issue(key[:5], "x", 1, nil, now)
	require.ErrorIs(t, err, ErrBadRequest)
}
