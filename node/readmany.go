package node

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// Many names are read together: each machine gets one message about all of them that
// it votes on. The rule is that of a single read, register.Reading, and only its good
// ends count here: a record that is chosen, or that all machines there should be know
// of none. Every other name is read again alone.

// manyNames bounds the names in one message.
const manyNames = 128

// readsRequest asks for many registers.
type readsRequest struct {
	Names []string `cbor:"1,keyasint"`
}

// readsReply answers in the order of the request.
type readsReply struct {
	Answers []encodedAnswer `cbor:"1,keyasint"`
}

// onReads is onReadEncoded for many names, one after the other.
func (n *Node) onReads(r readsRequest) (readsReply, error) {
	if len(r.Names) > manyNames {
		return readsReply{}, errBadRequest
	}
	reply := readsReply{Answers: make([]encodedAnswer, len(r.Names))}
	for i, name := range r.Names {
		a, err := n.onReadEncoded(readRequest{Name: name})
		if err != nil {
			a = encodedAnswer{Status: register.DontKnow}
		}
		reply.Answers[i] = a
	}
	return reply, nil
}

// oneOfMany is the reading of one name among others.
type oneOfMany struct {
	name    string
	view    register.View // the newest heard of; before that, what there would be for a new name
	machine []MachineID   // the voters, as far as is known
	asked   []MachineID
	heard   heard
	notHere bool              // this node has no record
	encoded []byte            // the last record that was heard of,
	record  *filestore.Record // decoded and checked
	is      found             // confirmed: done
	alone   bool              // it is not for here
}

// readMany reads the registers of at most manyNames names at once. Where it does not
// come to an end, the result is not confirmed, and the name has to be read alone. Of
// names that are likely to be stored a majority of the voters is asked first, and the
// others where that does not do; of new ones all at once.
func (n *Node) readMany(ctx context.Context, names []string, newOnes bool) []found {
	n.lookNear(ctx, names)
	list := make([]*oneOfMany, len(names))
	for i, name := range names {
		list[i] = n.readOneOfMany(ctx, name)
	}
	if !newOnes {
		n.hearMany(ctx, list, func(o *oneOfMany) []MachineID {
			l := n.quickest(o)
			return l[:min(len(l), max(0, register.Majority(len(o.machine))-len(o.heard)))]
		})
	}
	n.hearMany(ctx, list, n.quickest)
	results := make([]found, len(list))
	for i, o := range list {
		results[i] = o.is
	}
	return results
}

// readOneOfMany begins with what this node has itself.
func (n *Node) readOneOfMany(ctx context.Context, name string) *oneOfMany {
	o := &oneOfMany{name: name, heard: heard{}}
	own, err := n.onReadEncoded(readRequest{Name: name})
	var p place
	if err == nil {
		p, err = n.placeNear(ctx, chord.KeyOf(name))
	}
	if err == nil && len(own.Record) > 0 {
		o.encoded = own.Record
		err = transfer.Unmarshal(own.Record, &o.record) // it was checked before it was accepted
	}
	if err != nil {
		o.alone = true
		return o
	}
	o.notHere = o.record == nil && !n.doubts.any() && !n.clock.mayBeAway() // else it may only not be told
	o.machine = machinesOf(p.group())
	o.view.Voters.New = n.target(p, chord.KeyOf(name), nil)
	if o.record != nil || slices.Contains(o.machine, n.self()) {
		a := own.bare()
		a.Record = o.record
		o.take(n.self(), a)
	}
	return o
}

// take notes what a machine has answered.
func (o *oneOfMany) take(from MachineID, a register.Answer) {
	if !slices.Contains(o.asked, from) {
		o.asked = append(o.asked, from)
	}
	o.heard[from] = a
	if a.Status == register.OK && a.Record != nil && a.Accepted.Compare(o.view.Basis) > 0 {
		o.view = register.ViewOf(a.Record, a.Accepted)
		o.machine = o.view.Voters.All()
	}
}

// concluded ends the reading if what was heard is enough, and reports whether it has ended.
func (o *oneOfMany) concluded() bool {
	if o.is.confirmed || o.alone {
		return true
	}
	if o.view.Basis.IsZero() && !o.allKnowOfNone() {
		return false
	}
	r := register.NewReading(o.view)
	for _, m := range r.To() {
		a, ok := o.heard[m]
		if !ok || r.OnAnswer(m, a) != register.Decided {
			continue
		}
		o.is = found{view: o.view, confirmed: true, notHere: o.notHere}
		if rec, at := r.Record(); rec != nil {
			o.is.record, o.is.view, o.is.holders = rec, register.ViewOf(rec, at), r.Holders()
		}
		return true
	}
	return false
}

// allKnowOfNone reports whether all machines that should know the name have said that
// there is no record. Where one does not say so, others may have it still.
func (o *oneOfMany) allKnowOfNone() bool {
	for _, m := range o.view.Voters.New {
		if a, ok := o.heard[m]; !ok || a.Status != register.OK || a.Record != nil {
			return false
		}
	}
	return len(o.machine) == len(o.view.Voters.New)
}

// quickest are the voters that were not asked, those first that probably answer soon.
func (n *Node) quickest(o *oneOfMany) []MachineID {
	l := slices.DeleteFunc(slices.Clone(o.machine), func(m MachineID) bool { return slices.Contains(o.asked, m) })
	cost := func(m MachineID) time.Duration {
		rtt, _ := n.net.RTT(m)
		if n.silence.of(m) {
			rtt += time.Hour
		}
		return rtt
	}
	slices.SortStableFunc(l, func(a, b MachineID) int { return cmp.Compare(cost(a), cost(b)) })
	return l
}

// readsGrace is how long the machines that are asked about many names may take
// beyond their round trips, before others are asked or each name is read alone.
const readsGrace = 500 * time.Millisecond

// hearMany asks the machines that choose picks about each name that is still open.
func (n *Node) hearMany(ctx context.Context, list []*oneOfMany, choose func(*oneOfMany) []MachineID) {
	about := map[MachineID][]*oneOfMany{}
	for _, o := range list {
		if o.is.confirmed || o.alone {
			continue
		}
		for _, m := range choose(o) {
			if m != n.self() {
				about[m] = append(about[m], o)
			}
			o.asked = append(o.asked, m)
		}
	}
	var to []MachineID
	patience := readsGrace
	for m := range about {
		to = append(to, m)
		if rtt, ok := n.net.RTT(m); ok {
			patience = max(patience, readsGrace+4*rtt)
		}
	}
	answers := ask(n, to, func(m MachineID) ([]encodedAnswer, error) { return n.sendReads(ctx, m, about[m]) })
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	open := slices.DeleteFunc(slices.Clone(list), (*oneOfMany).concluded)
	for range to {
		if len(open) == 0 {
			return
		}
		select {
		case a := <-answers:
			for i, e := range a.is {
				n.hearOne(ctx, a.from, about[a.from][i], e)
			}
		case <-within.Done():
			return
		}
		open = slices.DeleteFunc(open, (*oneOfMany).concluded)
	}
}

// hearOne decodes one of many answers. Voters mostly say the same, which is decoded
// and checked once.
func (n *Node) hearOne(ctx context.Context, from MachineID, o *oneOfMany, e encodedAnswer) {
	a := e.bare()
	err := n.checkBallots(a.Promised, a.Accepted)
	if err == nil && len(e.Record) > 0 && !bytes.Equal(e.Record, o.encoded) {
		var rec *filestore.Record
		if rec, err = n.decodeRecord(ctx, from, o.name, e.Record); err == nil {
			o.encoded, o.record = e.Record, rec
		}
	}
	if err != nil {
		n.log.Debug("an answer to a read does not count", "name", o.name, "peer", n.members.label(from), "err", err)
		return
	}
	if len(e.Record) > 0 {
		a.Record = o.record
	}
	o.take(from, a)
}

func (n *Node) sendReads(ctx context.Context, m MachineID, about []*oneOfMany) ([]encodedAnswer, error) {
	req := readsRequest{Names: make([]string, len(about))}
	for i, o := range about {
		req.Names[i] = o.name
	}
	var reply readsReply
	if err := n.call(ctx, m, callReads, req, &reply); err != nil {
		return nil, err
	}
	if len(reply.Answers) != len(about) {
		return nil, fmt.Errorf("%w: %d answers about %d names", errBadReply, len(reply.Answers), len(about))
	}
	return reply.Answers, nil
}
