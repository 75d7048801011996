package trust

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// judge decides which machines are revoked. Statements count in the order of
// seniority of those who signed them, and those of an issuer that an earlier one
// has revoked, or that was made an issuer by such a one, do not count. So the
// answer is the same everywhere, whatever a revoked issuer goes on to sign; of two
// that revoke each other the senior stays.
func judge(items map[MachineID]*item) map[MachineID]bool {
	var all []departed
	for _, it := range items {
		for _, d := range it.departures {
			if d.State == Revoked {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b departed) int {
		return cmp.Or(rank(a.by, b.by), compareMachines(a.Machine, b.Machine))
	})
	out := make(map[MachineID]bool)
	for _, d := range all {
		if d.by.without(out) {
			out[d.Machine] = true
		}
	}
	return out
}

// Promote makes a member an issuer, by a: it may then issue certificates with its
// own key. The member must be in the set and present.
func (m *Members) Promote(a *Authority, machine MachineID, now time.Time) (bool, error) {
	it, out := m.find(machine)
	if it == nil || it.member(out).State != Present {
		return false, fmt.Errorf("promote: %w: %x", ErrNoMember, machine[:6])
	}
	if it.power(out) != nil {
		return false, nil
	}
	return m.empower(a, it, now)
}

func (m *Members) empower(a *Authority, it *item, now time.Time) (bool, error) {
	der, err := a.certifyIssuer(it.certs[0].cert.Key, it.machine(), now)
	if err != nil {
		return false, err
	}
	e := it.entry()
	e.powers = [][]byte{der}
	return m.take(e)
}

// Empower adds that a is an issuer.
func (m *Members) Empower(a *Authority) (bool, error) {
	it, _ := m.find(a.Machine())
	if it == nil {
		return false, fmt.Errorf("empower: %w", ErrNoMember)
	}
	e := it.entry()
	e.powers = [][]byte{a.by.der}
	return m.take(e)
}

// Power returns the issuer chain of a machine, in DER, one certificate after the
// other; nil for one that is no issuer.
func (m *Members) Power(machine MachineID) []byte {
	it, out := m.find(machine)
	if it == nil || it.member(out).State != Present {
		return nil
	}
	if p := it.power(out); p != nil {
		return p.der
	}
	return nil
}

// Chain returns the newest certificate of a machine that nobody has ended, with its
// issuers and the root; nil for a machine that is none or departed.
func (m *Members) Chain(machine MachineID) [][]byte {
	it, out := m.find(machine)
	if it == nil || it.member(out).State != Present {
		return nil
	}
	c, _ := it.current(out)
	return slices.Concat([][]byte{c.leaf}, c.by.chain(), [][]byte{m.root.cert.Raw})
}

// Forget adds an issuer's signed statement that a member does not come back.
func (m *Members) Forget(a *Authority, machine MachineID, now time.Time) error {
	it, out := m.find(machine)
	if it == nil {
		return fmt.Errorf("forget: %w: %x", ErrNoMember, machine[:6])
	}
	c, _ := it.current(out)
	return m.state(a, it, Forgotten, departureTime(now, c.cert))
}

// state adds a statement of a's about a machine.
func (m *Members) state(a *Authority, it *item, s State, at int64) error {
	d := departure{Machine: it.machine(), State: s, At: at}
	e := it.entry()
	e.departures = []signed{a.signDeparture(d)}
	_, err := m.take(e)
	return err
}

// Revocation tells what a revocation did.
type Revocation struct {
	Kept []MachineID // let in by the revoked machine, and vouched for by this one from now on
	Out  []MachineID // let in by the revoked machine, and out with it
}

// Revoke shuts a machine out for ever, by a. Where the machine is an issuer, the
// members that the set knows it has let in, itself or through issuers that it made,
// are certified anew by a and stay, and so do the issuers, unless withAdmitted is
// set; whatever it signs from now on is worth nothing, whatever date it bears. What
// it said about others who left is said again by a.
func (m *Members) Revoke(a *Authority, machine MachineID, withAdmitted bool, now time.Time) (Revocation, error) {
	var r Revocation
	target, out := m.find(machine)
	switch {
	case target == nil:
		return r, fmt.Errorf("revoke: %w: %x", ErrNoMember, machine[:6])
	case machine == a.Machine():
		return r, fmt.Errorf("revoke: %w: it is this machine", ErrSeniority)
	case slices.Contains(a.by.machines, machine):
		return r, fmt.Errorf("revoke: %w: it made this machine an issuer", ErrSeniority)
	}
	items, _ := m.snapshot()
	for _, it := range items {
		c, sound := it.current(out)
		if !sound || it == target {
			continue
		}
		if err := m.repeat(a, it, machine, out); err != nil {
			return r, err
		}
		admitted := slices.Contains(c.by.machines, machine) && it.member(out).State == Present
		if admitted && withAdmitted {
			r.Out = append(r.Out, it.machine())
			continue
		}
		if admitted {
			chain, err := a.Renew(c.cert.Key, m, now)
			if err == nil {
				_, err = m.Add(chain)
			}
			if err != nil {
				return r, err
			}
			r.Kept = append(r.Kept, it.machine())
		}
		if p := it.power(out); p != nil && slices.Contains(p.machines, machine) {
			if _, err := m.empower(a, it, now); err != nil {
				return r, err
			}
		}
	}
	c, _ := target.current(out)
	return r, m.state(a, target, Revoked, departureTime(now, c.cert))
}

// repeat says again, by a, what the machine has stated about another, since its
// own statements will not count any more.
func (m *Members) repeat(a *Authority, it *item, machine MachineID, out map[MachineID]bool) error {
	for _, d := range it.departures {
		if d.by.without(out) && slices.Contains(d.by.machines, machine) {
			if err := m.state(a, it, d.State, d.At); err != nil {
				return err
			}
		}
	}
	return nil
}
