package node

import (
	"crypto/ed25519"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// A signature that was found to be right says nothing about any other statement,
// key or signature.
func TestSignaturesAreRememberedWhole(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	other, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	signed := func(rec filestore.Record, domain string) *filestore.Record {
		rec.Signature = trust.Sign(key, domain, rec.Statement())
		return &rec
	}
	right := signed(filestore.Record{Name: "a", Size: 1}, recordDomain)
	changed := *right
	changed.Size = 2
	var v verified
	for range 2 { // the second time it is remembered
		require.NoError(t, v.check(pub, right))
		assert.ErrorIs(t, v.check(other, right), trust.ErrSignature)
		assert.ErrorIs(t, v.check(pub, &changed), trust.ErrSignature)
		assert.ErrorIs(t, v.check(pub, signed(*right, "another domain")), trust.ErrSignature)
	}
	assert.Len(t, v.right.young, 1)
	var own verified
	own.made(pub, right)
	require.NoError(t, own.check(pub, right))
	assert.Len(t, own.right.young, 1, "what it has signed it need not check")
	assert.ErrorIs(t, own.check(pub, &changed), trust.ErrSignature)
}
