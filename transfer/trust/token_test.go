package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestToken(t *testing.T) {
	want := Token{
		Ring: [32]byte{1}, Root: [32]byte{2}, Issuer: [32]byte{3}, Secret: [32]byte{4},
		Addrs: []string{"10.0.0.1:4000", "[::1]:4000"}, Expires: now.Add(time.Hour).Unix(),
	}
	line := want.String()
	got, err := ParseToken("  "+line[:50]+"\r\n "+line[50:]+"\n", now)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Less(t, len(line), 400)

	for i := range line {
		_, err := ParseToken(line[:i], now)
		require.ErrorIs(t, err, ErrBadToken, "cut short")
		other := byte('A')
		if line[i] == other {
			other = 'B'
		}
		_, err = ParseToken(line[:i]+string(other)+line[i+1:], now)
		require.ErrorIs(t, err, ErrBadToken, "mangled")
	}
	for _, s := range []string{"", "hello", "dhtfs2abc", strings.Repeat("x", 1<<20), tokenPrefix + strings.Repeat("A", 10_000)} {
		_, err := ParseToken(s, now)
		require.ErrorIs(t, err, ErrBadToken)
	}
	got, err = ParseToken(line, now.Add(time.Hour))
	require.ErrorIs(t, err, ErrTokenExpired)
	assert.Equal(t, want.Ring, got.Ring)

	want.Addrs = make([]string, 9)
	for i := range want.Addrs {
		want.Addrs[i] = "h:1"
	}
	got, err = ParseToken(want.String(), now)
	require.NoError(t, err)
	assert.Len(t, got.Addrs, maxTokenAddrs)
	want.Addrs = []string{"\x1b[2J"}
	_, err = ParseToken(want.String(), now)
	require.ErrorIs(t, err, ErrBadToken)
}

func TestInvites(t *testing.T) {
	a, _ := firstNode(t)
	path := filepath.Join(t.TempDir(), "invites")
	v, err := LoadInvites(path)
	require.NoError(t, err)
	issued := 0
	redeem := func(token Token, key ed25519.PrivateKey, at time.Time) ([][]byte, error) {
		return v.Redeem(token.Secret, pub(key), at, func() ([][]byte, error) {
			issued++
			return a.Issue(pub(key), "x", 1, nil, at)
		})
	}
	one, err := v.Create(a, []string{"h:1"}, time.Hour, 1, now)
	require.NoError(t, err)
	key := newKey(t)
	chain, err := redeem(one, key, now)
	require.NoError(t, err)

	v, err = LoadInvites(path) // as after a crash right after the answer
	require.NoError(t, err)
	again, err := redeem(one, key, now.Add(48*time.Hour))
	require.NoError(t, err, "the same key, even late")
	assert.Equal(t, chain, again)
	assert.Equal(t, 1, issued)
	_, err = redeem(one, newKey(t), now)
	require.ErrorIs(t, err, ErrInviteUsed)

	two, err := v.Create(a, []string{"h:1"}, time.Hour, 2, now)
	require.NoError(t, err)
	_, err = redeem(two, newKey(t), now)
	require.NoError(t, err)
	_, err = redeem(two, newKey(t), now.Add(time.Hour))
	require.ErrorIs(t, err, ErrInviteExpired)
	list := v.List()
	require.Len(t, list, 2)
	assert.Equal(t, []MachineID{MachineOf(pub(key))}, list[0].Used)
	require.NoError(t, v.Revoke(list[1].ID))
	_, err = redeem(two, newKey(t), now)
	require.ErrorIs(t, err, ErrInviteRevoked)
	require.ErrorIs(t, v.Revoke("nothing"), ErrInviteUnknown)
	_, err = redeem(Token{}, key, now)
	require.ErrorIs(t, err, ErrInviteUnknown)

	_, err = v.Redeem(one.Secret, pub(newKey(t)), now, nil)
	require.ErrorIs(t, err, ErrInviteUsed)
	_, err = v.Create(a, nil, time.Hour, 1, now)
	require.Error(t, err)
	_, err = v.Create(a, []string{"h:1"}, 0, 1, now)
	require.Error(t, err)

	_, err = v.Create(a, []string{"h:1"}, time.Hour, 1, now.Add(60*24*time.Hour))
	require.NoError(t, err)
	assert.Len(t, v.List(), 1, "long expired ones are dropped")
}

// An answer that could not be made durable must not be given.
func TestRedeemIsDurableFirst(t *testing.T) {
	a, _ := firstNode(t)
	v, err := LoadInvites(filepath.Join(t.TempDir(), "invites"))
	require.NoError(t, err)
	token, err := v.Create(a, []string{"h:1"}, time.Hour, 1, now)
	require.NoError(t, err)
	v.path = filepath.Join(t.TempDir(), "gone", "invites")
	_, err = v.Redeem(token.Secret, pub(newKey(t)), now, func() ([][]byte, error) { return [][]byte{{1}}, nil })
	require.Error(t, err)
	assert.Empty(t, v.List()[0].Used)
}

func TestOneUseIsOneUse(t *testing.T) {
	a, _ := firstNode(t)
	v, err := LoadInvites(filepath.Join(t.TempDir(), "invites"))
	require.NoError(t, err)
	token, err := v.Create(a, []string{"h:1"}, time.Hour, 3, now)
	require.NoError(t, err)
	var in atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			var key [32]byte
			_, _ = rand.Read(key[:])
			_, err := v.Redeem(token.Secret, key[:], now, func() ([][]byte, error) { return [][]byte{{1}}, nil })
			if err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 3, in.Load())
}

func TestAdmitAndAccept(t *testing.T) {
	a, first := firstNode(t)
	v, err := LoadInvites(filepath.Join(t.TempDir(), "invites"))
	require.NoError(t, err)
	members := NewMembers(a.Root())
	_, err = members.Add(first.Chain())
	require.NoError(t, err)
	token, err := v.Create(a, []string{"h:1"}, time.Hour, 1, now)
	require.NoError(t, err)
	key := newKey(t)
	req := JoinRequest{Secret: token.Secret, Label: "new", Vnodes: 3}.Encode()
	reply, err := a.Admit(v, members, pub(key), req, now)
	require.NoError(t, err)
	id, got, err := token.Accept(key, reply)
	require.NoError(t, err)
	assert.Len(t, id.Positions(), 3)
	assert.Len(t, got.Alive(), 2)

	_, _, err = token.Accept(newKey(t), reply)
	require.Error(t, err, "a certificate for another key")
	foreign := token
	foreign.Root[0] ^= 1
	_, _, err = foreign.Accept(key, reply)
	require.ErrorIs(t, err, ErrForeign)
	_, _, err = token.Accept(key, []byte{1})
	require.Error(t, err)
	_, err = a.Admit(v, members, pub(key), []byte("x"), now)
	require.ErrorIs(t, err, ErrBadRequest)
	_, err = a.Admit(v, members, pub(key), make([]byte, maxRequest+1), now)
	require.ErrorIs(t, err, ErrBadRequest)
}
