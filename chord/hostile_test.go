package chord

import (
	"maps"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/hostile"
)

// position feeds a position of the ring whatever a peer's bytes decode to: requests
// and replies one after the other. It must not panic, and its list must stay sound.
func position(tb testing.TB) hostile.Decoder {
	example := func(vs ...any) (all []byte) {
		for _, v := range vs {
			part, err := cbor.Marshal(v)
			require.NoError(tb, err)
			all = append(all, part...)
		}
		return all
	}
	pred := at(0x05)
	return hostile.Decoder{
		Name: "position of the ring",
		Examples: [][]byte{
			example(Request{Kind: KindNotify, From: at(0x20)}, Reply{From: at(0x20), Successors: ats(0x30, 0x10)}),
			example(Request{Kind: KindLeaving, From: at(0x40), Successors: ats(0x50, 0x10, 0x40)}, Reply{From: at(0x50), Predecessor: &pred}),
			example(Request{Kind: KindFind, Key: ID{7}}, Reply{From: at(0x40), Mine: true}, Request{Kind: KindNudge}),
		},
		Memory: 1 << 20, PerByte: 4 << 10, // the peers it hears of, in up to 64 steps
		Read: play,
	}
}

func play(t testing.TB, data []byte) {
	m := newMachine(at(0x10), 3, true)
	m.placed = true
	m.list = ats(0x40, 0x80)
	p := at(0xf0)
	m.pred = &p
	for step := 0; len(data) > 0 && step < 64; step++ {
		var req Request
		var reply Reply
		rest, err := cbor.UnmarshalFirst(data, &req)
		if err == nil && req.validate() == nil {
			require.NoError(t, m.handle(req).validate())
		}
		if rest2, err := cbor.UnmarshalFirst(data, &reply); err == nil && reply.validate() == nil {
			rest = rest2
			if tokens := slices.Sorted(maps.Keys(m.pending)); len(tokens) > 0 {
				if step%2 == 0 {
					reply.From.ID = m.pending[tokens[0]].to.ID
				}
				m.answered(tokens[0], reply)
			}
		}
		m.tick(ats(0x20, 0x90))
		m.take()
		require.Equal(t, len(m.list), len(successorList(m.self, m.want, m.list)), "sound list")
		require.True(t, m.pred == nil || m.pred.ID != m.self.ID)
		if len(rest) == len(data) {
			return
		}
		data = rest
	}
}

func FuzzMachine(f *testing.F) { position(f).Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, position(t)) }
