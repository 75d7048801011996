package chord

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var ringSize = new(big.Int).Lsh(big.NewInt(1), Bits)

func number(id ID) *big.Int { return new(big.Int).SetBytes(id[:]) }

// anyID draws IDs of which many are equal or next to one another or to zero.
func anyID() *rapid.Generator[ID] {
	return rapid.Custom(func(t *rapid.T) ID {
		var id ID
		switch rapid.IntRange(0, 2).Draw(t, "sort") {
		case 0:
			id[len(id)-1] = rapid.ByteRange(0, 3).Draw(t, "low")
		case 1:
			for i := range id {
				id[i] = 0xff
			}
			id[len(id)-1] -= rapid.ByteRange(0, 3).Draw(t, "high")
		default:
			copy(id[:], rapid.SliceOfN(rapid.Byte(), len(id), len(id)).Draw(t, "any"))
		}
		return id
	})
}

// clockwise is the distance from a to b by arithmetic on big integers.
func clockwise(a, b ID) *big.Int {
	return new(big.Int).Mod(new(big.Int).Sub(number(b), number(a)), ringSize)
}

func TestArithmeticAgreesWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, x := anyID().Draw(t, "a"), anyID().Draw(t, "b"), anyID().Draw(t, "x")
		i := rapid.IntRange(0, Bits-1).Draw(t, "i")

		way := clockwise(a, b)
		if a == b {
			way = ringSize
		}
		within := clockwise(a, x).Sign() > 0 && clockwise(a, x).Cmp(way) < 0
		assert.Equal(t, within, Between(x, a, b), "Between")
		assert.Equal(t, within || x == b, BetweenIncl(x, a, b), "BetweenIncl")
		assert.Equal(t, clockwise(a, b), new(big.Int).Set(number(a.Distance(b))), "Distance")
		assert.Equal(t, number(a).Cmp(number(b)), a.Compare(b), "Compare")
		sum := new(big.Int).Add(number(a), new(big.Int).Lsh(big.NewInt(1), uint(i)))
		assert.Zero(t, sum.Mod(sum, ringSize).Cmp(number(a.Plus2Exp(i))), "Plus2Exp")
	})
}

func TestBetweenOnAPoint(t *testing.T) {
	a, b := KeyOf("a"), KeyOf("b")
	assert.False(t, Between(a, a, a), "the point itself is excluded")
	assert.True(t, Between(b, a, a), "the way round is the whole ring")
	assert.True(t, BetweenIncl(a, a, a))
	assert.False(t, Between(b, a, b))
	assert.True(t, BetweenIncl(b, a, b))
	assert.False(t, BetweenIncl(a, a, b))
}

func TestIDText(t *testing.T) {
	id := KeyOf("hello")
	assert.Equal(t, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", id.String(), "SHA-1")
	assert.Equal(t, "aaf4…4d", id.Short())
	text, err := json.Marshal(id)
	require.NoError(t, err)
	var back ID
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, id, back)

	upper, err := ParseID(strings.ToUpper(id.String()))
	require.NoError(t, err)
	assert.Equal(t, id, upper)
	for _, bad := range []string{"", "aa", id.String() + "0", strings.Repeat("g", 40)} {
		_, err := ParseID(bad)
		require.ErrorIs(t, err, ErrBadID, bad)
		require.ErrorIs(t, new(ID).UnmarshalText([]byte(bad)), ErrBadID)
	}
}

func TestFraction(t *testing.T) {
	assert.InDelta(t, 0.5, ID{}.Plus2Exp(Bits-1).fraction(), 1e-9)
	assert.InDelta(t, 0, ID{}.fraction(), 1e-9)
}
