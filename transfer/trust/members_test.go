package trust

import (
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnnounceAndDepart(t *testing.T) {
	a, first := firstNode(t)
	m := NewMembers(a.Root())
	changed, err := m.Announce(first, []string{"h:1"}, "name", "v1")
	require.NoError(t, err)
	assert.True(t, changed)
	changed, err = m.Announce(first, []string{"h:1"}, "name", "v1")
	require.NoError(t, err)
	assert.False(t, changed, "nothing new")
	_, err = m.Announce(first, []string{"h:2"}, "name", "v2")
	require.NoError(t, err)
	got, ok := m.Get(first.Machine())
	require.True(t, ok)
	assert.Equal(t, []string{"h:2"}, got.Addrs)
	assert.EqualValues(t, 2, got.Seq)
	assert.Equal(t, "v2", got.Version)
	_, err = m.Announce(first, make([]string, 20), "name", "v2")
	require.ErrorIs(t, err, ErrBadMembers)
	require.NoError(t, m.Check(first.Certificate()))
	require.NoError(t, m.Check(issue(t, a, newKey(t), "new", m).Certificate()), "one not heard of yet")

	key := newKey(t)
	second := issue(t, a, key, "second", m)
	_, err = m.Add(second.Chain())
	require.NoError(t, err)
	assert.Len(t, m.Alive(), 2)
	_, err = m.Leave(second, now)
	require.NoError(t, err)
	require.ErrorIs(t, m.Check(second.Certificate()), ErrDeparted)
	assert.Len(t, m.Alive(), 1)
	assert.Len(t, m.All(), 2)

	back := issue(t, a, key, "second", m)
	_, err = m.Add(back.Chain())
	require.NoError(t, err)
	require.NoError(t, m.Check(second.Certificate()), "invited again")
	assert.Equal(t, second.Positions(), back.Positions(), "at its old place")

	require.NoError(t, m.Forget(a, second.Machine(), now.Add(time.Hour)))
	require.ErrorIs(t, m.Check(second.Certificate()), ErrDeparted)
	_, err = m.Revoke(a, second.Machine(), false, now)
	require.NoError(t, err)
	require.ErrorIs(t, m.Check(second.Certificate()), ErrRevoked)
	_, err = a.Issue(pub(key), "x", 1, m, now.Add(2*time.Hour))
	require.ErrorIs(t, err, ErrRevoked)
	_, err = m.Revoke(a, MachineID{1}, false, now)
	require.ErrorIs(t, err, ErrNoMember)
	_, err = m.Revoke(a, first.Machine(), false, now)
	require.ErrorIs(t, err, ErrSeniority, "itself")
	require.ErrorIs(t, m.Forget(a, MachineID{1}, now), ErrNoMember)
}

// history makes states of a set that several members and issuers wrote.
func history(t *testing.T) (*Authority, [][]byte) {
	a, first := firstNode(t)
	ids := []*Identity{first}
	for range 3 {
		ids = append(ids, issue(t, a, newKey(t), "n", nil))
	}
	var states [][]byte
	record := func(f func(m *Members) error) {
		m := NewMembers(a.Root())
		for _, id := range ids {
			_, err := m.Add(id.Chain())
			require.NoError(t, err)
		}
		require.NoError(t, f(m))
		states = append(states, m.Encode())
	}
	for i, id := range ids {
		for _, addr := range []string{"x:1", "y:1"} { // the same sequence number twice
			record(func(m *Members) error { _, err := m.Announce(id, []string{addr}, "l", "v"); return err })
		}
		record(func(m *Members) error { _, err := m.Leave(id, now.Add(time.Duration(i)*time.Hour)); return err })
		record(func(m *Members) error { return m.Forget(a, id.Machine(), now) })
	}
	record(func(m *Members) error { _, err := m.Revoke(a, ids[1].Machine(), false, now); return err })
	record(func(m *Members) error {
		_, err := m.Add(issue(t, a, ids[2].key, "renewed", m).Chain())
		return err
	})
	return a, states
}

func TestMergeIsTheSameInEveryOrder(t *testing.T) {
	a, states := history(t)
	var want [32]byte
	for round := range 20 {
		rng := rand.New(rand.NewPCG(uint64(round), 0))
		m, other := NewMembers(a.Root()), NewMembers(a.Root())
		for range 2 * len(states) {
			to := m
			if rng.IntN(2) == 0 {
				to = other
			}
			_, err := to.Merge(states[rng.IntN(len(states))])
			require.NoError(t, err)
		}
		rng.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
		for _, s := range states {
			_, err := other.Merge(s)
			require.NoError(t, err)
		}
		_, err := m.Merge(other.Encode())
		require.NoError(t, err)
		changed, err := m.Merge(other.Encode())
		require.NoError(t, err)
		assert.False(t, changed, "nothing new")
		if round == 0 {
			want = m.Digest()
		}
		require.Equal(t, want, m.Digest())
		require.Equal(t, want, other.Digest())
	}
}

func TestNothingEntersUnsigned(t *testing.T) {
	a, first := firstNode(t)
	_, stranger := firstNode(t)
	m := NewMembers(a.Root())
	_, err := m.Add(stranger.Chain())
	require.ErrorIs(t, err, ErrForeign)
	_, err = m.Add(nil)
	require.Error(t, err)

	second := issue(t, a, newKey(t), "second", nil)
	leave := departure{Machine: first.Machine(), State: LoggedOut, At: now.Unix()}
	revoke := departure{Machine: first.Machine(), State: Revoked, At: now.Unix()}
	other, _ := firstNode(t)
	byOther := func(domain string, msg []byte) []byte { return Sign(other.key, domain, msg) }
	body := mustEncode(announcement{Seq: 9, Addrs: []string{"evil:1"}})
	for name, e := range map[string]entry{
		"a logout by another member":        {departures: []signed{signDeparture(leave, second.Sign, nil)}},
		"a logout with an issuer":           {departures: []signed{signDeparture(leave, first.Sign, a.by.der)}},
		"a revocation by a member":          {departures: []signed{signDeparture(revoke, first.Sign, nil)}},
		"a revocation by a leaf":            {departures: []signed{signDeparture(revoke, second.Sign, second.Chain()[0])}},
		"a revocation by a foreign issuer":  {departures: []signed{signDeparture(revoke, byOther, other.by.der)}},
		"a revocation with a false issuer":  {departures: []signed{signDeparture(revoke, byOther, a.by.der)}},
		"another member's announcement":     {announcement: signed{Body: body, Sig: second.Sign(domainAnnouncement, body)}},
		"an announcement of another domain": {announcement: signed{Body: body, Sig: first.Sign(domainDeparture, body)}},
	} {
		e.certs = []rawCertificate{{first.Chain()[0], first.Chain()[1]}}
		_, err := m.take(e)
		require.Error(t, err, name)
	}
	assert.Empty(t, m.All())
}

func TestBadEntriesDoNotStopGoodOnes(t *testing.T) {
	a, first := firstNode(t)
	_, stranger := firstNode(t)
	second := issue(t, a, newKey(t), "second", nil)
	enc := encodedMembers{Format: membersFormat, Issuers: [][]byte{first.Chain()[1]}, Entries: []encodedEntry{
		{Leaf: first.Chain()[0]}, {Leaf: stranger.Chain()[0]}, {Leaf: first.Chain()[0], Issuer: 7}, {Leaf: second.Chain()[0]},
	}}
	m := NewMembers(a.Root())
	changed, err := m.Merge(mustEncode(enc))
	require.ErrorIs(t, err, ErrForeign)
	assert.True(t, changed)
	assert.Len(t, m.Alive(), 2)
	enc.Format = 9
	_, err = m.Merge(mustEncode(enc))
	require.ErrorIs(t, err, ErrBadMembers)
	_, err = m.Merge([]byte("x"))
	require.ErrorIs(t, err, ErrBadMembers)
}

func TestMembersOnDisk(t *testing.T) {
	a, states := history(t)
	path := filepath.Join(t.TempDir(), "members")
	m, err := LoadMembers(a.Root(), path)
	require.NoError(t, err)
	assert.Empty(t, m.All())
	for _, s := range states {
		_, err := m.Merge(s)
		require.NoError(t, err)
	}
	require.NoError(t, m.Save(path))
	again, err := LoadMembers(a.Root(), path)
	require.NoError(t, err)
	assert.Equal(t, m.Digest(), again.Digest())
	assert.Equal(t, m.All(), again.All())

	part := NewMembers(a.Root())
	machine := m.All()[1].Machine
	_, err = part.Merge(m.EncodeOf(machine, MachineID{1}))
	require.NoError(t, err)
	require.Len(t, part.All(), 1)
	assert.Equal(t, machine, part.All()[0].Machine)

	other, _ := firstNode(t)
	_, err = LoadMembers(other.Root(), path)
	require.Error(t, err, "another ring's")
}

// storedRing reads a root and a member set as version 1 wrote them.
func storedRing(tb testing.TB) (*Root, []byte) {
	data, err := os.ReadFile("testdata/ring.hex")
	require.NoError(tb, err)
	var parts [2][]byte
	for i, line := range strings.Fields(string(data)) {
		parts[i], err = hex.DecodeString(line)
		require.NoError(tb, err)
	}
	root, err := ParseRoot(parts[0])
	require.NoError(tb, err)
	return root, parts[1]
}

// What a ring has stored and sent must be read for ever.
func TestGoldenMembers(t *testing.T) {
	root, encoded := storedRing(t)
	assert.Equal(t, Genesis{Format: 1, Name: "golden", N: 3, W: 2, R: 2, Created: now.Unix()}, root.Genesis())
	m := NewMembers(root)
	_, err := m.Merge(encoded)
	require.NoError(t, err)
	assert.Equal(t, encoded, m.Encode(), "and written the same")
	require.Len(t, m.All(), 2)
	alive := m.Alive()
	require.Len(t, alive, 1)
	assert.Equal(t, []string{"192.0.2.1:4000"}, alive[0].Addrs)
	assert.Equal(t, "first", alive[0].Name)
	assert.Len(t, alive[0].Positions(), 1)
}
