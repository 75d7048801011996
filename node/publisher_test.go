package node

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// A signature that was found to be true says nothing about any other statement,
// key or signature.
func TestSignaturesAreRememberedWhole(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	other, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	statement := []byte("a statement")
	sig := trust.Sign(key, recordDomain, statement)
	var s signatures
	for range 2 { // the second time it is remembered
		require.NoError(t, s.verify(pub, statement, sig))
		assert.ErrorIs(t, s.verify(other, statement, sig), trust.ErrSignature)
		assert.ErrorIs(t, s.verify(pub, []byte("another one"), sig), trust.ErrSignature)
		assert.ErrorIs(t, s.verify(pub, statement, trust.Sign(key, "another domain", statement)), trust.ErrSignature)
		assert.ErrorIs(t, s.verify(pub, statement[1:], append(slices.Clone(sig), statement[0])), trust.ErrSignature, "the same bytes, divided otherwise")
	}
	assert.Len(t, s.good, 1)
}

func TestSignaturesAreForgotten(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := signatures{good: map[[32]byte]struct{}{}}
	for i := range maxSigned {
		s.good[[32]byte{byte(i), byte(i >> 8)}] = struct{}{}
	}
	require.NoError(t, s.verify(pub, nil, trust.Sign(key, recordDomain, nil)))
	assert.Len(t, s.good, 1)
}
