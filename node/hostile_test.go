package node

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/hostile"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// message is the decoder of one message: what can be read can be written, and then
// it is read again.
func message[T any](name string) hostile.Decoder {
	var empty T
	return hostile.Decoder{
		Name:     name,
		Examples: [][]byte{encoded(*hostile.Fill(new(T))), encoded(empty)},
		Memory:   4 << 20, // an array of small things: 4,096 times what one takes
		Read: func(t testing.TB, data []byte) {
			var v T
			if transfer.Unmarshal(data, &v) != nil {
				return
			}
			again, err := transfer.Marshal(v)
			if err != nil {
				t.Errorf("%s can be read and not written: %v", name, err)
			}
			var w T
			if err := transfer.Unmarshal(again, &w); err != nil {
				t.Errorf("%s does not read its own writing: %v", name, err)
			}
		},
	}
}

func encoded(v any) []byte {
	b, err := transfer.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// messages are all that nodes send one another.
func messages() []hostile.Decoder {
	return []hostile.Decoder{
		message[chord.Request]("chord request"),
		message[chord.Reply]("chord reply"),
		message[register.Prepare]("prepare"),
		message[register.Accept]("accept"),
		message[register.Answer]("answer"),
		message[readRequest]("read request"),
		message[encodedAnswer]("encoded answer"),
		message[readsRequest]("reads request"),
		message[readsReply]("reads reply"),
		message[findRequest]("find request"),
		message[findReply]("find reply"),
		message[changeRequest]("change request"),
		message[copyRequest]("copy request"),
		message[changeReply]("change reply"),
		message[storeHeader]("store header"),
		message[contentTrailer]("content trailer"),
		message[stageHeader]("stage header"),
		message[stageTrailer]("stage trailer"),
		message[fetchHeader]("fetch header"),
		message[fetchReply]("fetch reply"),
		message[hashList]("hash list"),
		message[obtainRequest]("obtain request"),
		message[holdingsRequest]("holdings request"),
		message[holdingsReply]("holdings reply"),
		message[listRequest]("list request"),
		message[listReply]("list reply"),
		message[rangeRequest]("range request"),
		message[rangeReply]("range reply"),
		message[compareRequest]("compare request"),
		message[compareReply]("compare reply"),
		message[membersSumRequest]("members sum request"),
		message[membersSumReply]("members sum reply"),
		message[membersDiffRequest]("members diff request"),
		message[membersDiffReply]("members diff reply"),
		message[membersTellRequest]("members tell request"),
		message[membersOfRequest]("members of request"),
		message[forgetRequest]("forget request"),
		message[forgetReply]("forget reply"),
		message[selfReply]("self reply"),
		message[stageRequest]("stage request"),
		message[storeRequest]("store request"),
		message[createRequest]("create request"),
		message[contentRequest]("content request"),
		message[contentsRequest]("contents request"),
		message[contentsReply]("contents reply"),
		message[smallChunk]("small chunk"),
		message[stagedPart]("staged part"),
		message[keepRequest]("keep request"),
	}
}

// calls feeds a node's own handlers: the first byte of an input is the kind of the
// call. Calls that ask other nodes are left out, since there are none.
func calls(tb testing.TB) hostile.Decoder {
	caller := &trust.Certificate{Machine: MachineID{1}, Vnodes: 1}
	ringRequest := hostile.Fill(new(chord.Request))
	ringRequest.From = chord.Peer{ID: caller.Positions()[0], Machine: caller.Machine}
	kinds := map[byte]any{
		byte(callRing):        ringRequest,
		byte(callMembersSum):  hostile.Fill(new(membersSumRequest)),
		byte(callMembersDiff): hostile.Fill(new(membersDiffRequest)),
		byte(callMembersTell): hostile.Fill(new(membersTellRequest)),
		byte(callMembersOf):   hostile.Fill(new(membersOfRequest)),
		byte(callSelf):        nil,
		byte(callRead):        hostile.Fill(new(readRequest)),
		byte(callPrepare):     hostile.Fill(new(register.Prepare)),
		byte(callAccept):      hostile.Fill(new(register.Accept)),
		byte(callHoldings):    hostile.Fill(new(holdingsRequest)),
		byte(callList):        hostile.Fill(new(listRequest)),
		byte(callRange):       hostile.Fill(new(rangeRequest)),
		byte(callCompare):     hostile.Fill(new(compareRequest)),
		byte(callForget):      hostile.Fill(new(forgetRequest)),
		byte(callStage):       hostile.Fill(new(stageRequest)),
		byte(callStore):       hostile.Fill(new(storeRequest)),
		byte(callContent):     hostile.Fill(new(contentRequest)),
		byte(callCreate):      hostile.Fill(new(createRequest)),
		byte(callReads):       hostile.Fill(new(readsRequest)),
		byte(callContents):    hostile.Fill(new(contentsRequest)),
	}
	d := hostile.Decoder{Name: "calls of a node", Memory: 8 << 20, PerByte: 4 << 10}
	for kind, v := range kinds {
		d.Examples = append(d.Examples, append([]byte{kind}, encoded(v)...))
	}
	tombstone := register.Accept{Ballot: filestore.Ballot{Counter: 9}, Record: filestore.Record{Format: 1, Name: "x", Deleted: true}}
	d.Examples = append(d.Examples, append([]byte{byte(callAccept)}, encoded(tombstone)...))

	var mu sync.Mutex
	var n *Node
	used := 0
	d.Read = func(t testing.TB, data []byte) {
		if len(data) == 0 || kinds[data[0]] == nil && data[0] != byte(callSelf) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if used++; n == nil || used%5000 == 0 { // what it accepted is kept in memory
			if n != nil {
				require.NoError(t, n.store.Close())
			}
			n = idle(t)
		}
		from := transfer.Remote{Machine: caller.Machine, Certificate: caller}
		reply, err := handler{n}.Call(t.Context(), from, uint16(data[0]), data[1:])
		if err == nil {
			_ = encoded(reply)
		}
	}
	tb.Cleanup(func() {
		if n != nil {
			require.NoError(tb, n.store.Close())
		}
	})
	return d
}

// idle is a node in memory that does not run.
func idle(tb testing.TB) *Node {
	m, err := Found("", RingOptions{Name: "otter", Label: "alder"})
	require.NoError(tb, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	require.NoError(tb, ln.Close())
	n, err := New(Config{
		Membership: m, Listener: ln, Advertise: []string{"127.0.0.1:1"}, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
	})
	require.NoError(tb, err)
	return n
}

// FuzzMessages: the first byte of an input says which message the rest is to be.
func FuzzMessages(f *testing.F) {
	all := messages()
	one := hostile.Decoder{Name: "messages", Memory: 4 << 20}
	for i, d := range all {
		for _, example := range d.Examples {
			one.Examples = append(one.Examples, append([]byte{byte(i)}, example...))
		}
	}
	one.Read = func(t testing.TB, data []byte) {
		if len(data) > 0 {
			all[int(data[0])%len(all)].Read(t, data[1:])
		}
	}
	one.Fuzz(f)
}

func FuzzCalls(f *testing.F) { calls(f).Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, append(messages(), calls(t))...) }

// What a broken member sends does not stop a node from serving the others.
func TestANodeOutlivesNonsense(t *testing.T) {
	n := idle(t)
	defer func() { require.NoError(t, n.store.Close()) }()
	h := handler{n}
	for kind := range uint16(64) {
		for _, payload := range [][]byte{nil, {0xf6}, {0xa0}, {0x80}, {0xff}, encoded([]int{1}), encoded(map[int]any{1: nil})} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, _ = h.Call(ctx, transfer.Remote{Machine: MachineID{1}, Certificate: &trust.Certificate{Machine: MachineID{1}}}, kind, payload)
			cancel()
		}
	}
	_, err := n.onRead(readRequest{Name: "x"})
	require.NoError(t, err)
}
