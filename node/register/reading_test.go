package register_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// heard is a voter's answer to a read, or its silence.
type heard struct {
	from   int
	answer register.Answer
	silent bool
}

// read is the answer of a voter that has a register.
func read(from int, r filestore.Register) heard {
	return heard{from: from, answer: register.OnRead(r, register.Authoritative)}
}

func ignorant(from int) heard {
	return heard{from: from, answer: register.OnRead(filestore.Register{}, register.Ignorant)}
}

func silent(from int) heard { return heard{from: from, silent: true} }

func TestReading(t *testing.T) {
	var (
		old    = voters(0, 1, 2)
		moving = joint(ids(0, 1, 2), ids(1, 2, 3))
		none   filestore.Register
	)
	for _, test := range []struct {
		name  string
		view  register.View
		heard []heard
		want  register.Verdict // of the last answer; all before are Open
		at    uint64           // the ballot of the record read; zero for none
		learn register.View    // unless it stays the view
	}{
		{"a majority agrees", view(old, 4),
			[]heard{read(0, holding(4, 4, old)), read(2, holding(4, 4, old))}, register.Decided, 4, register.View{}},
		{"a majority agrees on more than the view knows", view(old, 2),
			[]heard{read(0, holding(2, 2, old)), read(1, holding(4, 4, old)), read(2, holding(4, 4, old))}, register.Decided, 4, register.View{}},
		{"one only", view(old, 4),
			[]heard{read(0, holding(4, 4, old)), silent(1), silent(2)}, register.Silent, 4, register.View{}},
		{"half accepted", view(old, 2),
			[]heard{read(0, holding(2, 2, old)), read(1, holding(4, 4, old)), silent(2)}, register.Undecided, 4, register.View{}},
		{"a change is under way", view(old, 4),
			[]heard{read(0, holding(5, 4, old)), read(1, holding(5, 4, old)), silent(2)}, register.Undecided, 4, register.View{}},
		{"a change is under way at one", view(old, 4),
			[]heard{read(0, holding(5, 4, old)), read(1, holding(4, 4, old)), read(2, holding(4, 4, old))}, register.Decided, 4, register.View{}},
		{"nothing there", view(old, 0),
			[]heard{read(0, none), read(1, promised(3))}, register.Decided, 0, register.View{}},
		{"nothing there, says one; the others do not know", view(old, 0),
			[]heard{read(0, none), ignorant(1), ignorant(2)}, register.Silent, 0, register.View{}},
		{"nobody knows", view(old, 0),
			[]heard{ignorant(0), ignorant(1), ignorant(2)}, register.Silent, 0, register.View{}},
		{"accepted by one, nothing at the others", view(old, 0),
			[]heard{read(0, holding(4, 4, old)), read(1, none), read(2, none)}, register.Decided, 0, register.View{}},
		{"accepted by one, nothing at another", view(old, 0),
			[]heard{read(0, holding(4, 4, old)), read(1, none), silent(2)}, register.Undecided, 4, register.View{}},
		{"moved since", view(old, 2),
			[]heard{read(0, holding(4, 4, moving)), read(1, holding(4, 4, moving)), silent(2)}, register.Stale, 4, view(moving, 4)},
		{"a move was begun at one", view(old, 2),
			[]heard{read(0, holding(4, 4, moving)), read(1, holding(2, 2, old)), read(2, holding(2, 2, old))}, register.Stale, 4, view(moving, 4)},
		{"moved twice since", view(old, 2),
			[]heard{read(0, holding(6, 6, voters(1, 2, 3))), read(1, holding(4, 4, moving)), silent(2)}, register.Stale, 6, view(voters(1, 2, 3), 6)},
		{"the view knows of a move that a voter missed", view(moving, 4),
			[]heard{read(0, holding(2, 2, old)), read(1, holding(4, 4, moving)), ignorant(3), read(2, holding(4, 4, moving))}, register.Decided, 4, register.View{}},
		{"the view knows of a move that most missed", view(moving, 4),
			[]heard{read(0, holding(2, 2, old)), read(1, holding(2, 2, old)), read(2, holding(4, 4, moving)), read(3, holding(4, 4, moving))}, register.Undecided, 4, register.View{}},
		{"joint, a majority of each", view(moving, 4),
			[]heard{read(1, holding(4, 4, moving)), read(2, holding(4, 4, moving))}, register.Decided, 4, register.View{}},
		{"joint, only a majority of the old", view(moving, 4),
			[]heard{read(0, holding(4, 4, moving)), read(1, holding(4, 4, moving)), silent(2), silent(3)}, register.Silent, 4, register.View{}},
		{"joint, only a majority of the new", view(moving, 4),
			[]heard{read(3, holding(4, 4, moving)), read(1, holding(4, 4, moving)), silent(2), silent(0)}, register.Silent, 4, register.View{}},
		{"one voter", view(voters(0), 4),
			[]heard{read(0, holding(4, 4, voters(0)))}, register.Decided, 4, register.View{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := register.NewReading(test.view)
			assert.Equal(t, test.view.Voters.All(), r.To())
			for i, h := range test.heard {
				var got register.Verdict
				if h.silent {
					got = r.OnSilence(id(h.from))
				} else {
					got = r.OnAnswer(id(h.from), h.answer)
				}
				if i < len(test.heard)-1 {
					assert.Equal(t, register.Open, got, "after answer %d", i)
				} else {
					assert.Equal(t, test.want, got)
				}
			}
			rec, at := r.Record()
			if test.at == 0 {
				assert.Nil(t, rec)
				assert.True(t, at.IsZero())
			} else {
				assert.NotNil(t, rec)
				assert.Equal(t, ballot(test.at), at)
			}
			if test.learn.Basis.IsZero() {
				test.learn = test.view
			}
			assert.Equal(t, test.learn, r.Learned())
		})
	}
}

func TestReadingHolders(t *testing.T) {
	content := func(n byte, held bool) filestore.Register {
		r := holding(4, 4, voters(0, 1, 2, 3))
		r.Record.SHA256, r.Held = filestore.Hash{n}, held
		return r
	}
	newest := content(1, true)
	newest.Accepted = ballot(5)
	r := register.NewReading(view(voters(0, 1, 2, 3), 4))
	assert.Empty(t, r.Holders())
	for i, reg := range []filestore.Register{content(1, true), content(2, true), content(1, false), newest} {
		r.OnAnswer(id(i), register.OnRead(reg, register.Authoritative))
	}
	assert.Equal(t, ids(0, 3), r.Holders(), "not another content, nor one only named")
}
