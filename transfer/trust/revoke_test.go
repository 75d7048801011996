package trust

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// realm is a ring with issuers for tests: its member set and who is in it.
type realm struct {
	t   *testing.T
	set *Members
}

// person is a machine with its certificate and, if it is an issuer, its power.
type person struct {
	*Identity
	*Authority
}

func newRealm(t *testing.T) (realm, person) {
	a, id := firstNode(t)
	r := realm{t, NewMembers(a.Root())}
	_, err := r.set.Add(id.Chain())
	require.NoError(t, err)
	_, err = r.set.Empower(a)
	require.NoError(t, err)
	return r, person{id, a}
}

// admit lets a new machine in.
func (r realm) admit(by person) person {
	id := issue(r.t, by.Authority, newKey(r.t), "x", r.set)
	_, err := r.set.Add(id.Chain())
	require.NoError(r.t, err)
	return person{Identity: id}
}

// promoted lets a new machine in and makes it an issuer.
func (r realm) promoted(by person) person {
	p := r.admit(by)
	changed, err := r.set.Promote(by.Authority, p.Identity.Machine(), now)
	require.NoError(r.t, err)
	require.True(r.t, changed)
	p.Authority, err = NewAuthority(r.set.root, p.Key(), r.set.Power(p.Identity.Machine()))
	require.NoError(r.t, err)
	return p
}

func (r realm) revoke(by, p person, withAdmitted bool) Revocation {
	got, err := r.set.Revoke(by.Authority, p.Identity.Machine(), withAdmitted, now)
	require.NoError(r.t, err)
	return got
}

func (r realm) state(p person) State {
	m, _ := r.set.Get(p.Identity.Machine())
	return m.State
}

func TestPromotedIssuers(t *testing.T) {
	r, first := newRealm(t)
	first.rootKey = nil // kept elsewhere: issuers are made by issuers
	last := first
	for range maxDepth - 1 {
		last = r.promoted(last)
		assert.Equal(t, Present, r.state(r.admit(last)))
	}
	p := r.admit(last)
	_, err := r.set.Promote(last.Authority, p.Identity.Machine(), now)
	require.ErrorIs(t, err, ErrSeniority, "the chain has an end")
	_, err = r.set.Promote(first.Authority, MachineID{1}, now)
	require.ErrorIs(t, err, ErrNoMember)
	changed, err := r.set.Promote(first.Authority, last.Identity.Machine(), now)
	require.NoError(t, err)
	assert.False(t, changed, "it is one")

	again := NewMembers(r.set.root)
	_, err = again.Merge(r.set.Encode())
	require.NoError(t, err)
	assert.Equal(t, r.set.Digest(), again.Digest())
	m, _ := again.Get(last.Identity.Machine())
	assert.True(t, m.Issuing)

	// A member's certificate makes nobody an issuer, whatever it signs.
	forged := p.Identity
	der, err := (&Authority{root: r.set.root, key: forged.key, by: last.by}).certifyIssuer(forged.Certificate().Key, forged.Machine(), now)
	require.Error(t, err)
	assert.Nil(t, der)
}

func TestWhomARevokedIssuerLetInStays(t *testing.T) {
	r, first := newRealm(t)
	thief := r.promoted(first)
	known := r.admit(thief)
	below := r.promoted(thief)
	deeper := r.admit(below)
	before := r.admit(first)
	got := r.revoke(first, thief, false)
	assert.ElementsMatch(t, []MachineID{known.Identity.Machine(), below.Identity.Machine(), deeper.Identity.Machine()}, got.Kept)
	for _, p := range []person{known, below, deeper, before, first} {
		assert.Equal(t, Present, r.state(p))
		assert.Equal(t, p.Positions(), positions(r, p), "and keeps its place")
		require.NoError(t, r.set.Check(p.Certificate()), "also with its old certificate")
	}
	assert.Equal(t, Revoked, r.state(thief))
	m, _ := r.set.Get(below.Identity.Machine())
	assert.True(t, m.Issuing, "an issuer stays one")

	// What the thief signs now is worth nothing, whatever date it bears.
	for _, at := range []time.Time{now.Add(-time.Hour), now, now.Add(time.Hour)} {
		chain, err := thief.Issue(pub(newKey(t)), "late", 1, nil, at)
		require.NoError(t, err)
		cert, err := r.set.root.Verify(chain)
		require.NoError(t, err)
		require.ErrorIs(t, r.set.Check(cert), ErrRevoked)
		_, err = r.set.Add(chain)
		require.NoError(t, err)
		late, _ := r.set.Get(cert.Machine)
		assert.Equal(t, Orphaned, late.State)
		require.ErrorIs(t, r.set.Check(cert), ErrRevoked)
	}
	// Nor can it displace what others have signed.
	far := now.Add(1000 * time.Hour)
	chain, err := thief.Issue(known.Certificate().Key, "mine", 1, nil, far)
	require.NoError(t, err)
	_, err = r.set.Add(chain)
	require.NoError(t, err)
	assert.Equal(t, Present, r.state(known))
	e := entry{certs: r.set.items[first.Identity.Machine()].entry().certs}
	e.departures = []signed{thief.signDeparture(departure{first.Identity.Machine(), Revoked, far.Unix()})}
	_, err = r.set.take(e)
	require.NoError(t, err)
	e.departures = []signed{thief.signDeparture(departure{first.Identity.Machine(), Forgotten, far.Unix()})}
	_, err = r.set.take(e)
	require.NoError(t, err)
	assert.Equal(t, Present, r.state(first))
	_, err = first.Authority.Renew(thief.Certificate().Key, r.set, now)
	require.ErrorIs(t, err, ErrRevoked)
}

func positions(r realm, p person) [][20]byte {
	m, _ := r.set.Get(p.Identity.Machine())
	return m.Positions()
}

func TestWhomARevokedIssuerLetInGoes(t *testing.T) {
	r, first := newRealm(t)
	thief := r.promoted(first)
	friend := r.admit(thief)
	got := r.revoke(first, thief, true)
	assert.Equal(t, []MachineID{friend.Identity.Machine()}, got.Out)
	assert.Equal(t, Orphaned, r.state(friend))
	require.ErrorIs(t, r.set.Check(friend.Certificate()), ErrRevoked)
	// It may be let in again by another.
	chain, err := first.Issue(friend.Certificate().Key, "friend", 1, r.set, now)
	require.NoError(t, err)
	cert, err := r.set.root.Verify(chain)
	require.NoError(t, err)
	require.NoError(t, r.set.Check(cert))
	_, err = r.set.Add(chain)
	require.NoError(t, err)
	assert.Equal(t, Present, r.state(friend))
}

// What an issuer said before it was revoked is said again by the one who revokes.
func TestStatementsOutliveTheirIssuer(t *testing.T) {
	r, first := newRealm(t)
	second := r.promoted(first)
	stolen, dead := r.admit(first), r.admit(first)
	r.revoke(second, stolen, false)
	require.NoError(t, r.set.Forget(second.Authority, dead.Identity.Machine(), now))
	r.revoke(first, second, false)
	assert.Equal(t, Revoked, r.state(stolen))
	assert.Equal(t, Forgotten, r.state(dead))
}

func TestSeniority(t *testing.T) {
	r, first := newRealm(t)
	second := r.promoted(first)
	r.revoke(second, first, false)
	assert.Equal(t, Revoked, r.state(first), "the first machine was stolen")
	require.NoError(t, r.set.Check(second.Certificate()))
	assert.Equal(t, Present, r.state(second))
	assert.Equal(t, Present, r.state(r.admit(second)))

	r, first = newRealm(t)
	first.rootKey = nil
	second = r.promoted(first)
	_, err := r.set.Revoke(second.Authority, first.Identity.Machine(), false, now)
	require.ErrorIs(t, err, ErrSeniority, "it would take itself out")
	assert.Equal(t, Present, r.state(first))

	// Of two that revoke each other the senior stays, in whatever order that is heard.
	r, first = newRealm(t)
	a, b := r.promoted(first), r.promoted(first)
	if rank(a.by, b.by) > 0 {
		a, b = b, a
	}
	one, other := NewMembers(r.set.root), NewMembers(r.set.root)
	for _, s := range []*Members{one, other} {
		_, err := s.Merge(r.set.Encode())
		require.NoError(t, err)
	}
	_, err = one.Revoke(a.Authority, b.Identity.Machine(), false, now)
	require.NoError(t, err)
	_, err = other.Revoke(b.Authority, a.Identity.Machine(), false, now)
	require.NoError(t, err)
	_, err = one.Merge(other.Encode())
	require.NoError(t, err)
	_, err = other.Merge(one.Encode())
	require.NoError(t, err)
	for _, s := range []*Members{one, other} {
		senior, _ := s.Get(a.Identity.Machine())
		junior, _ := s.Get(b.Identity.Machine())
		assert.Equal(t, Present, senior.State)
		assert.Equal(t, Revoked, junior.State)
	}
	assert.Equal(t, one.Digest(), other.Digest())
}

// Sets with everything in them become equal in whatever order they are merged.
func TestMergeWithIssuersIsTheSameInEveryOrder(t *testing.T) {
	r, first := newRealm(t)
	var states [][]byte
	note := func() { states = append(states, r.set.Encode()) }
	second := r.promoted(first)
	note()
	third := r.promoted(second)
	note()
	plain := r.admit(third)
	note()
	for i := range 4 {
		at := now.Add(time.Duration(i) * time.Hour)
		for _, by := range []person{first, second, third} {
			chain, err := by.Authority.Renew(plain.Certificate().Key, r.set, at)
			require.NoError(t, err)
			_, err = r.set.Add(chain)
			require.NoError(t, err)
			require.NoError(t, r.set.Forget(by.Authority, plain.Identity.Machine(), at))
			note()
			chain, err = by.Issue(plain.Certificate().Key, "again", 1, r.set, at)
			require.NoError(t, err)
			_, err = r.set.Add(chain)
			require.NoError(t, err)
			note()
		}
	}
	r.revoke(first, second, false)
	note()
	want := r.set.Digest()
	for round := range 20 {
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		m := NewMembers(r.set.root)
		for range len(states) {
			_, err := m.Merge(states[rng.IntN(len(states))])
			require.NoError(t, err)
		}
		rng.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
		mergeAll(t, m, states)
		require.Equal(t, want, m.Digest())
	}
}

func TestRenewal(t *testing.T) {
	r, first := newRealm(t)
	p := r.admit(first)
	invites, err := LoadInvites("")
	require.NoError(t, err)
	renew := func(at time.Time) error {
		reply, err := first.Admit(invites, r.set, p.Certificate().Key, JoinRequest{Renew: true}.Encode(), at)
		if err != nil {
			return err
		}
		if err := p.AcceptRenewal(r.set, reply); err != nil {
			return err
		}
		return p.Identity.Renew(r.set.Chain(p.Identity.Machine()))
	}
	old := p.Certificate()
	require.NoError(t, renew(now.Add(time.Hour)))
	assert.Equal(t, old.NotAfter, p.Certificate().NotAfter, "it is not due")
	require.NoError(t, renew(old.RenewAt()))
	assert.Greater(t, p.Certificate().NotAfter, old.NotAfter)
	assert.Equal(t, old.Positions(), p.Positions())
	require.NoError(t, renew(p.Certificate().NotAfter.Add(1000*time.Hour)), "long after it has ended")
	require.ErrorIs(t, p.Identity.Renew(first.Chain()), ErrCertificate, "another's")

	_, err = first.Admit(invites, r.set, pub(newKey(t)), JoinRequest{Renew: true}.Encode(), now)
	require.ErrorIs(t, err, ErrNoMember)
	require.NoError(t, r.set.Forget(first.Authority, p.Identity.Machine(), p.Certificate().NotAfter))
	require.ErrorIs(t, renew(now), ErrDeparted)
	r.revoke(first, p, false)
	require.ErrorIs(t, renew(now), ErrRevoked)
}
