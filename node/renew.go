package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Renewal: a node has its certificate renewed when two thirds of its time are over,
// by any issuer that answers, an issuer by itself. One whose certificate has ended
// while it was away is still certified anew, since its key is a member's; until
// then the others refuse it.

// Renewal is looked at this often at least, since clocks are set and machines
// sleep; and tried again, when it has failed, within these bounds.
const (
	renewalLook  = time.Hour
	renewalRetry = 10 * time.Second
)

// runRenewal keeps the certificate valid.
func (n *Node) runRenewal(ctx context.Context) error {
	for {
		wait := renewalLook
		if due := n.certificate().RenewAt().Sub(n.now()); due > 0 {
			wait = min(wait, due)
		} else if err := n.renew(ctx); err != nil {
			left := n.certificate().NotAfter.Sub(n.now())
			wait = min(max(left/20, renewalRetry), renewalLook)
			if ctx.Err() == nil {
				n.log.Warn("could not renew the certificate", "ends", n.certificate().NotAfter, "again", wait, "err", err)
			}
		}
		timer := time.NewTimer(jitter(wait) + time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-n.wake.renew:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (n *Node) certificate() *trust.Certificate { return n.membership.identity.Certificate() }

// renewPatience bounds one attempt with all issuers.
const renewPatience = time.Minute

// renew gets a new certificate.
func (n *Node) renew(ctx context.Context) error {
	if power := n.membership.power(); power != nil && n.members.issues(n.self()) {
		chain, err := power.Renew(n.certificate().Key, n.members.set, n.now())
		if err == nil {
			_, err = n.members.set.Add(chain)
		}
		if err == nil {
			n.membersChanged()
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, renewPatience)
	defer cancel()
	var errs []error
	for _, w := range n.renewalWays() {
		reply, err := n.net.Renew(ctx, w.issuer, w.addrs)
		if err == nil {
			err = n.membership.identity.AcceptRenewal(n.members.set, reply)
			n.membersChanged()
		}
		if err == nil {
			return nil
		}
		n.noteRefusal(err)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, fmt.Errorf("%w: no issuer has renewed it", ErrUnavailable))...)
}

// way is where a certificate may be renewed.
type way struct {
	issuer MachineID // zero: any that the machine there knows
	addrs  []string
}

// renewalWays are the issuers, and after them a few other members, which pass the
// request on to issuers whose address has changed.
func (n *Node) renewalWays() []way {
	var direct, through []way
	for _, x := range n.members.all() {
		switch {
		case x.Machine == n.self() || len(x.Addrs) == 0:
		case x.Issuing:
			direct = append(direct, way{x.Machine, x.Addrs})
		default:
			through = append(through, way{MachineID{}, x.Addrs})
		}
	}
	rand.Shuffle(len(direct), func(i, j int) { direct[i], direct[j] = direct[j], direct[i] })
	rand.Shuffle(len(through), func(i, j int) { through[i], through[j] = through[j], through[i] })
	const most = 4
	return append(direct[:min(len(direct), most)], through[:min(len(through), most)]...)
}

// issues reports whether a machine is an issuer that nobody has revoked.
func (m *members) issues(id MachineID) bool {
	x, _ := m.set.Get(id)
	return x.Issuing
}

// lookAtSelf takes from the member set what concerns this node: a newer
// certificate, the power to issue, or that it is out.
func (n *Node) lookAtSelf() {
	if err := n.membership.Departed(); err != nil && !n.state.leaving.Load() {
		signal(n.wake.expelled)
		n.log.Error("this node is no member any more", "err", err)
		return
	}
	renewed, err := n.membership.adopt(n.cfg.Timing.Lifetime)
	if err != nil {
		n.log.Error("cannot take over the new certificate", "err", err)
	}
	if renewed {
		n.state.refused.Store(nil)
		n.log.Info("certificate renewed", "ends", n.certificate().NotAfter)
		signal(n.wake.renew)
	}
}

// adopt takes over the newest certificate of this machine that the member set has,
// and the power to issue. Both are durable when it returns.
func (m *Membership) adopt(lifetime time.Duration) (renewed bool, err error) {
	m.adopting.Lock()
	defer m.adopting.Unlock()
	if chain := m.members.Chain(m.Machine()); chain != nil && !bytes.Equal(chain[0], m.identity.Chain()[0]) {
		if err := m.identity.Renew(chain); err != nil {
			return false, err
		}
		renewed = true
		if m.dir != "" {
			if err := m.identity.Save(m.dir); err != nil {
				return renewed, err
			}
		}
	}
	held, granted := m.power(), m.members.Power(m.Machine())
	if granted == nil || held != nil && bytes.Equal(held.Power(), granted) {
		return renewed, nil
	}
	authority, err := trust.NewAuthority(m.identity.Root(), m.identity.Key(), granted)
	if err != nil {
		return renewed, err
	}
	if held != nil {
		authority = held.With(authority)
	}
	authority.Lifetime = lifetime
	if m.dir != "" {
		if err := authority.Save(m.dir); err != nil {
			return renewed, err
		}
	}
	return renewed, m.empower(authority)
}

// warnOfMembership says what is about to go wrong with this node's membership.
func (n *Node) warnOfMembership() []string {
	const layout = "2006-01-02 15:04 UTC"
	var l []string
	cert, now := n.certificate(), n.now()
	ends := cert.NotAfter.UTC().Format(layout)
	switch {
	case now.After(cert.NotAfter):
		l = append(l, "this node's certificate ended on "+ends+", and others refuse it: it waits for an issuer to renew it; check the clock too")
	case now.After(cert.RenewAt().Add(cert.NotAfter.Sub(cert.RenewAt()) / 4)):
		l = append(l, "this node's certificate ends on "+ends+" and could not be renewed yet: see that an issuer is up")
	}
	if x, _ := n.members.set.Get(n.self()); x.State == trust.Orphaned {
		l = append(l, "the machine that let this node in was revoked, and others refuse it: join again with a new invite")
	} else if said := n.state.refused.Load(); said != nil {
		l = append(l, "other members refuse this node: "+*said)
	}
	return l
}
