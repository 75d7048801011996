package node

import (
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// authority is what this node may say about names that it has no record of.
//
// A node speaks only of arcs in whose groups it has been ever since it learnt
// them: outside, names are stored without it. See living.
//
// An arc becomes known once the node has compared it with a majority of those
// who had it. Names that it heard of there and has no record of yet are
// pending: it answers "don't know" for them. A claim is an arc that was known
// with nothing pending; claims are durable. After a restart nothing is known,
// since names may have come and gone meanwhile, but a claim from before counts
// when the members of a group compare with each other: the ring can be
// switched off as a whole and come back.
//
// An arc is vacant when nobody who answers has claimed it for Timing.TakeOver:
// all who knew it are gone, and may come back. Nobody says then what is not
// stored there, and names are stored all the same; see register.Vacant.
type authority struct {
	store  *filestore.Store
	saving chan struct{} // holds one token while claims are made durable

	mu      sync.Mutex
	known   arcs
	claims  arcs
	saved   arcs // the claims that are durable
	limit   arcs // known and claims lie within these, if there are any
	vacant  arcs
	pending alongRing[pendingName]
}

// pendingName is a name that the node has heard of, as others have it.
type pendingName struct {
	rangeEntry
	missed bool // the arc was known before
	sum    filestore.Fingerprint
}

const metaClaims = "authority"

func openAuthority(s *filestore.Store) (*authority, error) {
	a := &authority{store: s, saving: make(chan struct{}, 1)}
	b, err := s.Meta(metaClaims)
	if err != nil || b == nil {
		return a, err
	}
	err = cbor.Unmarshal(b, &a.claims)
	a.saved = a.claims
	return a, err
}

// knowledge is what a voter may answer for a name without a record.
func (a *authority) knowledge(name string) register.Knowledge {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, waiting := a.pending.get(name)
	switch {
	case waiting && e.missed:
		return register.Missed
	case !waiting && !a.known.contains(chord.KeyOf(name)) && a.vacant.contains(chord.KeyOf(name)):
		return register.Vacant
	case waiting, !a.known.contains(chord.KeyOf(name)):
		return register.Ignorant
	}
	return register.Authoritative
}

// disclaim forgets all that the node knew: it was away for too long.
func (a *authority) disclaim() error {
	a.mu.Lock()
	a.known, a.claims = nil, nil
	a.mu.Unlock()
	return a.save(differ)
}

// setVacant notes whether an arc is vacant, and reports whether that is news.
func (a *authority) setVacant(x arc, vacant bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := slices.Contains(a.vacant, x)
	if was != vacant {
		a.vacant = slices.DeleteFunc(slices.Clone(a.vacant), func(y arc) bool { return y.UpTo == x.UpTo })
		if vacant {
			a.vacant = append(a.vacant, x)
		}
	}
	return was != vacant
}

// hasVacant reports whether any arc is vacant.
func (a *authority) hasVacant() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.vacant) > 0
}

// knows reports whether the whole arc is known.
func (a *authority) knows(x arc) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known.cover(x)
}

// claimed reports whether the whole arc is known or was when the node last ran.
func (a *authority) claimed(x arc) bool {
	if a.store.Degraded() != nil {
		return false // what is in doubt since the disk failed is not among what it lists
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known.cover(x) || a.claims.cover(x)
}

// learn makes an arc known but for the names in missing. Of an arc that is known
// already, these are names whose stores this node missed.
func (a *authority) learn(x arc, missing []rangeEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known.cover(x)
	for _, e := range missing {
		if _, before := a.pending.get(e.Name); !before {
			e.Held, e.Only = false, true
			sum := a.store.FingerprintOf(e.Name, e.View.Basis, filestore.HeardOf)
			a.pending.put(e.Name, pendingName{rangeEntry: e, missed: known, sum: sum})
		}
	}
	if !known {
		a.known = append(a.known, clip(arcs{x}, a.limit)...)
	}
}

// narrow forgets what lies outside of some arcs, and learns nothing there until
// it is told others.
func (a *authority) narrow(limit arcs) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = limit
	a.known, a.claims = clip(a.known, limit), clip(a.claims, limit)
	a.dropPending()
}

// settle makes durable that claims have been narrowed, if they have: before
// whoever took this node's place may go by what it is told. A claim from before
// would else come back with a restart, and say of names that were stored there
// without this node that they are not.
func (a *authority) settle() error {
	return a.save(func(claims, saved arcs) bool {
		return slices.ContainsFunc(saved, func(x arc) bool { return !claims.cover(x) })
	})
}

// clip is the part of some arcs that lies within others, if there are any of those.
func clip(s, limit arcs) arcs {
	if len(limit) == 0 {
		return s
	}
	var l arcs
	for _, x := range limit {
		l = append(l, s.within(x)...)
	}
	return l
}

// dropPending forgets names outside the arcs that are known.
func (a *authority) dropPending() {
	for name := range a.pending.values {
		if !a.known.contains(chord.KeyOf(name)) {
			a.pending.remove(name)
		}
	}
}

// arrived notes that the node has a record of name now.
func (a *authority) arrived(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending.remove(name)
}

// heardOf are the names of an arc that this node has heard of and has no record
// of yet, as entries that say so.
func (a *authority) heardOf(x arc) []rangeEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	var l []rangeEntry
	for _, e := range a.pending.in(x) {
		l = append(l, e.rangeEntry)
	}
	return l
}

// heardSum is the fingerprint of what heardOf lists, and counts it.
func (a *authority) heardSum(x arc) (f filestore.Fingerprint, count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.pending.in(x) {
		f, count = f.Plus(e.sum), count+1
	}
	return f, count
}

// hasPending reports whether the node has yet to get records that it heard of.
func (a *authority) hasPending() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending.len() > 0
}

// blank reports whether the node never had authority over anything.
func (a *authority) blank() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known) == 0 && len(a.claims) == 0
}

// retain drops whatever is outside the arcs that the node is responsible for
// now, since nobody tells it about names there any more, and makes the claims durable.
func (a *authority) retain(mine arcs) error {
	a.mu.Lock()
	var known, claims arcs
	for _, x := range mine {
		if a.known.cover(x) {
			known = append(known, x)
		}
	}
	a.known = known
	a.vacant = slices.DeleteFunc(slices.Clone(a.vacant), func(x arc) bool { return !slices.Contains(mine, x) })
	a.dropPending()
	for _, x := range mine {
		if known.cover(x) && !a.pendingIn(x) {
			claims = append(claims, x)
		} else { // what was claimed stays claimed, even if a death has joined arcs meanwhile
			claims = append(claims, a.claims.within(x)...)
		}
	}
	a.claims = claims
	a.mu.Unlock()
	return a.save(differ)
}

func differ(claims, saved arcs) bool { return !slices.Equal(claims, saved) }

// save makes the claims durable if they are due, going by those that are. One at a
// time does, so that none of them puts back what another has ended.
func (a *authority) save(due func(claims, saved arcs) bool) error {
	a.saving <- struct{}{}
	defer func() { <-a.saving }()
	a.mu.Lock()
	claims, saved := a.claims, a.saved
	a.mu.Unlock()
	if !due(claims, saved) {
		return nil
	}
	b, err := cbor.Marshal(claims)
	if err != nil {
		return err
	}
	if err := a.store.SetMeta(metaClaims, b); err != nil {
		return err
	}
	a.mu.Lock()
	a.saved = claims
	a.mu.Unlock()
	return nil
}

func (a *authority) pendingIn(x arc) bool {
	for range a.pending.in(x) {
		return true
	}
	return false
}
