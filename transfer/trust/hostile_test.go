package trust

import (
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/hostile"
)

// decoders are all that reads what strangers and members send.
func decoders(tb testing.TB) []hostile.Decoder {
	return []hostile.Decoder{tokens(), memberSets(tb), chains(tb), joinRequests(tb), joinReplies(tb)}
}

// tokens reads a line that somebody has pasted.
func tokens() hostile.Decoder {
	return hostile.Decoder{
		Name:     "tokens",
		Examples: [][]byte{[]byte(Token{Addrs: []string{"a:1"}, Expires: 1 << 40}.String()), []byte("dhtfs1AAAA")},
		Read: func(t testing.TB, data []byte) {
			token, err := ParseToken(string(data), now)
			if err != nil {
				if !errors.Is(err, ErrBadToken) && !errors.Is(err, ErrTokenExpired) {
					t.Error(err)
				}
				return
			}
			if again, err := ParseToken(token.String(), now); err != nil || again.String() != token.String() {
				t.Error("a token does not read its own writing")
			}
		},
	}
}

// memberSets merges what another member has sent.
func memberSets(tb testing.TB) hostile.Decoder {
	root, encoded := storedRing(tb)
	genuine := NewMembers(root)
	_, err := genuine.Merge(encoded)
	require.NoError(tb, err)
	return hostile.Decoder{
		Name: "member sets", Examples: [][]byte{encoded, genuine.EncodeOf()},
		Memory: 1 << 20, PerByte: 256,
		Read: func(t testing.TB, data []byte) {
			m := NewMembers(root)
			_, _ = m.Merge(data)
			for _, member := range m.All() {
				if _, ok := genuine.Get(member.Machine); !ok {
					t.Error("nobody else was ever certified")
				}
			}
			if again, err := m.Merge(m.Encode()); again || err != nil {
				t.Error("a set does not read its own writing")
			}
		},
	}
}

// chains reads certificates: their number, and each with two bytes of length.
func chains(tb testing.TB) hostile.Decoder {
	a, id := firstNode(tb)
	var example []byte
	for _, der := range id.Chain() {
		example = append(append(example, byte(len(der)>>8), byte(len(der))), der...)
	}
	return hostile.Decoder{
		Name: "certificates", Examples: [][]byte{example}, Memory: 256 << 10, PerByte: 256,
		Read: func(t testing.TB, data []byte) {
			var chain [][]byte
			for len(data) >= 2 && len(chain) < 8 {
				n := min(int(data[0])<<8|int(data[1]), len(data)-2)
				chain, data = append(chain, data[2:2+n]), data[2+n:]
			}
			cert, err := a.Root().Verify(chain)
			if err == nil && cert.Machine != id.Machine() {
				t.Error("nobody else was ever certified")
			}
			for _, der := range chain {
				_, _ = ParseRoot(der)
			}
		},
	}
}

// joinRequests shows an issuer what a stranger says without an invite.
func joinRequests(tb testing.TB) hostile.Decoder {
	a, id := firstNode(tb)
	invites, err := LoadInvites(filepath.Join(tb.TempDir(), "invites"))
	require.NoError(tb, err)
	_, err = invites.Create(a, []string{"a:1"}, time.Hour, 1, now)
	require.NoError(tb, err)
	members := NewMembers(id.Root())
	stranger := newKey(tb).Public().(ed25519.PublicKey)
	return hostile.Decoder{
		Name:     "join requests",
		Examples: [][]byte{JoinRequest{Label: "x", Vnodes: 1}.Encode()},
		Read: func(t testing.TB, data []byte) {
			if _, err := a.Admit(invites, members, stranger, data, now); err == nil {
				t.Error("a stranger without the secret was admitted")
			}
		},
	}
}

// joinReplies shows a joiner what is no answer of the ring that it was invited to.
func joinReplies(tb testing.TB) hostile.Decoder {
	a, _ := firstNode(tb)
	key := newKey(tb)
	id := issue(tb, a, key, "joiner", nil)
	members := NewMembers(a.Root())
	_, err := members.Add(id.Chain())
	require.NoError(tb, err)
	token := Token{Ring: a.Root().ID(), Root: a.Root().Fingerprint()}
	return hostile.Decoder{
		Name:     "join replies",
		Examples: [][]byte{mustEncode(JoinReply{Chain: id.Chain(), Members: members.Encode()})},
		Memory:   1 << 20, PerByte: 256,
		Read: func(t testing.TB, data []byte) {
			got, _, err := token.Accept(key, data)
			if err == nil && got.Machine() != id.Machine() {
				t.Error("became another machine")
			}
		},
	}
}

func FuzzParseToken(f *testing.F)  { decoders(f)[0].Fuzz(f) }
func FuzzMerge(f *testing.F)       { decoders(f)[1].Fuzz(f) }
func FuzzVerify(f *testing.F)      { decoders(f)[2].Fuzz(f) }
func FuzzJoinRequest(f *testing.F) { decoders(f)[3].Fuzz(f) }
func FuzzJoinReply(f *testing.F)   { decoders(f)[4].Fuzz(f) }

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, decoders(t)...) }
