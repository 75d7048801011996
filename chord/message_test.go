package chord

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The numbers and keys are on the wire: a change here breaks older peers.
func TestWireForm(t *testing.T) {
	zeros := strings.Repeat("00", 19)
	peer := "a30154" + "10" + zeros + "025820" + "10" + strings.Repeat("00", 31) + "036161"
	p := at(0x10)
	p.Addr = "a"

	req := Request{Kind: KindFind, To: ID{1}, From: p, Key: ID{2}}
	b, err := cbor.Marshal(req)
	require.NoError(t, err)
	assert.Equal(t, "a401030254"+"01"+zeros+"03"+peer+"0454"+"02"+zeros, hex.EncodeToString(b))

	reply := Reply{From: p, Refusal: RefusedLeaving, Mine: true, Predecessor: &p,
		Successors: []Peer{p}, Likely: []Peer{p}, Closer: []Peer{p}}
	b, err = cbor.Marshal(reply)
	require.NoError(t, err)
	assert.Equal(t, "a701"+peer+"020303f504"+peer+"0581"+peer+"0681"+peer+"0781"+peer, hex.EncodeToString(b))
	var back Reply
	require.NoError(t, cbor.Unmarshal(b, &back))
	assert.Equal(t, reply, back)

	for k, want := range map[Kind]uint8{
		KindState: 1, KindNotify: 2, KindFind: 3, KindPing: 4, KindLeaving: 5, KindNudge: 6,
	} {
		assert.Equal(t, want, uint8(k), k)
	}
}

func TestRefusals(t *testing.T) {
	for r, want := range map[Refusal]error{
		0: nil, 1: ErrNotHere, 2: ErrNotPlaced, 3: ErrLeaving, 4: ErrUnknown, 99: ErrUnknown,
	} {
		assert.ErrorIs(t, Reply{Refusal: r}.Err(), want, r)
	}
	m := newMachine(at(1), 3, true)
	assert.Equal(t, RefusedNotPlaced, m.handle(Request{Kind: KindPing}).Refusal)
	m.tick(nil)
	assert.Equal(t, NotRefused, m.handle(Request{Kind: KindPing, From: at(2)}).Refusal)
	assert.Equal(t, RefusedUnknown, m.handle(Request{Kind: 77, From: at(2)}).Refusal)
	m.leave()
	assert.Equal(t, RefusedLeaving, m.handle(Request{Kind: KindPing, From: at(2)}).Refusal)
}

func TestLimitsOfMessages(t *testing.T) {
	long := Peer{Addr: strings.Repeat("x", maxAddr+1)}
	for name, q := range map[string]Request{
		"too many":        {Successors: make([]Peer, maxList+1)},
		"address of from": {From: long},
		"of predecessor":  {Predecessor: &long},
	} {
		assert.ErrorIs(t, q.validate(), ErrBadMessage, name)
	}
	for name, r := range map[string]Reply{
		"successors": {Successors: make([]Peer, maxList+1)},
		"likely":     {Likely: make([]Peer, maxLeads+1)},
		"closer":     {Closer: make([]Peer, maxLeads+1)},
		"address":    {Closer: []Peer{long}},
	} {
		assert.ErrorIs(t, r.validate(), ErrBadMessage, name)
	}
	assert.NoError(t, Request{Successors: make([]Peer, maxList)}.validate())
	assert.NoError(t, Reply{}.validate())
}
