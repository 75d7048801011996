package node

import (
	"bytes"
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// listPage is how many files one page of a listing carries.
const listPage = 500

// List yields files in the order of their keys and stops with yield's error:
// those that this node holds, or with Ring every file that some member holds.
// Nothing but two pages a node are kept in memory. Copies counts the nodes that
// hold the version listed, as far as they answered; the summary says whether
// all did.
func (n *Node) List(ctx context.Context, o ListOptions, yield func(File) error) (ListSummary, error) {
	var s ListSummary
	var err error
	if o.Ring {
		s, err = n.listRing(ctx, o, yield)
	} else {
		s, err = n.listLocal(ctx, o, yield)
	}
	if err != nil {
		return s, &OpError{Op: "list", Err: err}
	}
	return s, nil
}

// matches reports whether a name is wanted. A malformed pattern matches nothing.
func (o ListOptions) matches(name string) bool {
	if !strings.HasPrefix(name, o.Prefix) {
		return false
	}
	if o.Pattern == "" {
		return true
	}
	ok, err := path.Match(o.Pattern, name)
	return ok && err == nil
}

// onList answers a peer with a page of the files held here.
func (n *Node) onList(req listRequest) (listReply, error) {
	var reply listReply
	o := ListOptions{Prefix: req.Prefix, Pattern: req.Pattern}
	from := filestore.Cursor{Key: req.After.Key, Name: req.After.Name}
	for reg, err := range n.store.EncodedRegisters(chord.ID{}, chord.ID{}, from) {
		if err != nil {
			return reply, err
		}
		if reg.Record == nil || !o.matches(reg.Name) || n.doubts.has(reg.Name, reg.Accepted) {
			continue
		}
		if !reg.Held {
			if tombstone, err := reg.Tombstone(); err != nil || !tombstone || !req.Gone {
				continue
			}
		}
		if len(reply.Entries) == listPage {
			last := reply.Entries[listPage-1].Name
			reply.Next, reply.More = cursor{Key: chord.KeyOf(last), Name: last}, true
			break
		}
		e := listEntry{Accepted: reg.Accepted, Name: reg.Name, Gone: !reg.Held}
		if !req.Brief {
			e.Record = reg.Record
		}
		reply.Entries = append(reply.Entries, e)
	}
	return reply, nil
}

// decode returns an entry's record.
func (e *listEntry) decode() (rec filestore.Record, err error) {
	if err = transfer.Unmarshal(e.Record, &rec); err == nil && rec.Name != e.Name {
		err = errBadReply
	}
	return rec, err
}

// listLocal lists what is held here, and asks the other voters of each page's
// files for their copies.
func (n *Node) listLocal(ctx context.Context, o ListOptions, yield func(File) error) (ListSummary, error) {
	asked := map[MachineID]bool{n.self(): true}
	req := listRequest{Prefix: o.Prefix, Pattern: o.Pattern}
	for {
		page, err := n.onList(req)
		if err != nil {
			return ListSummary{}, err
		}
		files := make([]File, 0, len(page.Entries))
		questions := map[MachineID][]int{}
		for _, e := range page.Entries {
			rec, err := e.decode()
			if err != nil {
				return summarize(asked), err
			}
			if !rec.Voters.Contains(n.self()) && rec.Wanted() == len(rec.Voters.New) {
				continue // a copy that this node does not vote on waits to be dropped, unless more are wanted than there are voters
			}
			for _, m := range n.likelyHolders(&rec) {
				if m != n.self() {
					questions[m] = append(questions[m], len(files))
				}
			}
			files = append(files, File{Record: rec, Key: chord.KeyOf(rec.Name), Role: n.role(&rec), Copies: 1, Want: rec.Wanted()})
		}
		n.countCopies(ctx, files, questions, asked)
		for _, f := range files {
			if err := yield(f); err != nil {
				return summarize(asked), err
			}
		}
		if !page.More {
			return summarize(asked), nil
		}
		req.After = page.Next
	}
}

// countCopies asks each machine for its share of a page. A machine that did not
// answer once is not asked again.
func (n *Node) countCopies(ctx context.Context, files []File, questions map[MachineID][]int, asked map[MachineID]bool) {
	var to []MachineID
	for m := range questions {
		if answered, before := asked[m]; answered || !before {
			to = append(to, m)
		}
	}
	answers := ask(n, to, func(m MachineID) ([]HolderState, error) {
		of := make([]holding, 0, len(questions[m]))
		for _, i := range questions[m] {
			rec := &files[i].Record
			of = append(of, holding{Name: rec.Name, Op: rec.Op, SHA256: rec.SHA256})
		}
		return n.holdings(ctx, m, of)
	})
	for range to {
		a := <-answers
		asked[a.from] = a.err == nil
		if a.err != nil {
			continue
		}
		for k, i := range questions[a.from] {
			if a.is[k] == Durable {
				files[i].Copies++
			}
		}
	}
}

func summarize(asked map[MachineID]bool) ListSummary {
	s := ListSummary{Asked: len(asked)}
	for _, answered := range asked {
		if answered {
			s.Answered++
		}
	}
	return s
}

// listing is one member's pages while they are merged with the others'.
type listing struct {
	machine MachineID
	req     listRequest
	page    listReply
	key     chord.ID                // of the head
	next    <-chan reply[listReply] // the page after this one, if there is more
	failed  bool
}

// head is the next entry; nil at the end.
func (l *listing) head() *listEntry {
	if len(l.page.Entries) == 0 {
		return nil
	}
	return &l.page.Entries[0]
}

// listRing merges the listings of all members.
func (n *Node) listRing(ctx context.Context, o ListOptions, yield func(File) error) (ListSummary, error) {
	var to []MachineID
	for _, m := range n.members.all() {
		to = append(to, m.Machine)
	}
	first := listRequest{Prefix: o.Prefix, Pattern: o.Pattern, Gone: true, Brief: o.Names}
	answers := ask(n, to, func(m MachineID) (listReply, error) { return n.sendList(ctx, m, first) })
	s := ListSummary{Asked: len(to)}
	var lists []*listing
	for range to {
		if a := <-answers; a.err == nil {
			s.Answered++
			l := &listing{machine: a.from, req: first}
			n.turnPage(ctx, l, a.is)
			lists = append(lists, l)
		}
	}
	for {
		f, err := n.nextListed(ctx, lists, o.Names)
		if err != nil {
			return s, err
		}
		if f == nil {
			break
		}
		if f.Record.Name == "" || f.Record.Deleted {
			continue // a voter that has not heard of it yet still has the file
		}
		if err := yield(*f); err != nil {
			return s, err
		}
	}
	for _, l := range lists {
		if l.failed {
			s.Answered--
		}
	}
	return s, nil
}

// nextListed takes the least name off all listings and returns its newest
// version, or its name alone; nil at the end.
func (n *Node) nextListed(ctx context.Context, lists []*listing, names bool) (*File, error) {
	var first *listing
	for _, l := range lists {
		if l.head() != nil && (first == nil || l.before(first)) {
			first = l
		}
	}
	if first == nil {
		return nil, ctx.Err()
	}
	name := first.head().Name
	var all []listEntry
	for _, l := range lists {
		if e := l.head(); e != nil && e.Name == name {
			all = append(all, *e)
			n.advance(ctx, l)
		}
	}
	if names {
		newest := slices.MaxFunc(all, func(a, b listEntry) int { return a.Accepted.Compare(b.Accepted) })
		return &File{Record: filestore.Record{Name: name, Deleted: newest.Gone}}, nil
	}
	return n.listed(name, all), nil
}

// listed is what machines have of a name, of which the newest counts. What cannot be
// decoded is left out; a File without a name is nothing.
func (n *Node) listed(name string, all []listEntry) *File {
	slices.SortStableFunc(all, func(a, b listEntry) int { return b.Accepted.Compare(a.Accepted) })
	f := &File{Key: chord.KeyOf(name)}
	var newest []byte
	for _, e := range all {
		if newest != nil && bytes.Equal(e.Record, newest) {
			f.Copies++
			continue
		}
		rec, err := e.decode()
		switch {
		case err != nil:
		case newest == nil:
			newest = e.Record
			f.Record, f.Role, f.Want, f.Copies = rec, n.role(&rec), rec.Wanted(), 1
		case rec.Op == f.Record.Op:
			f.Copies++
		}
	}
	return f
}

// advance drops a listing's head and goes on to the next page when that was the last.
func (n *Node) advance(ctx context.Context, l *listing) {
	l.page.Entries = l.page.Entries[1:]
	if len(l.page.Entries) > 0 || !l.page.More {
		l.setKey()
		return
	}
	a := <-l.next
	l.failed = a.err != nil || a.is.More && len(a.is.Entries) == 0
	n.turnPage(ctx, l, a.is)
}

// turnPage begins a page, and asks for the one after it.
func (n *Node) turnPage(ctx context.Context, l *listing, page listReply) {
	l.page = page
	l.setKey()
	if !page.More || len(page.Entries) == 0 {
		return
	}
	l.req.After = page.Next
	req := l.req
	l.next = ask(n, []MachineID{l.machine}, func(m MachineID) (listReply, error) { return n.sendList(ctx, m, req) })
}

func (l *listing) setKey() {
	if e := l.head(); e != nil {
		l.key = chord.KeyOf(e.Name)
	}
}

// before reports whether a listing's head comes before another's.
func (l *listing) before(o *listing) bool {
	return cmp.Or(l.key.Compare(o.key), strings.Compare(l.head().Name, o.head().Name)) < 0
}

func (n *Node) sendList(ctx context.Context, m MachineID, req listRequest) (listReply, error) {
	if m == n.self() {
		return n.onList(req)
	}
	var reply listReply
	err := n.call(ctx, m, callList, req, &reply)
	return reply, err
}
