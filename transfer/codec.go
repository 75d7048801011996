package transfer

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The modes have no mutable state; they are what cbor.Marshal would be with
// other defaults.
var (
	encMode = mustMode(cbor.CoreDetEncOptions().EncMode())
	decMode = mustMode(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  16,
		MaxArrayElements: 1 << 12,
		MaxMapPairs:      1 << 12,
	}.DecMode())
)

func mustMode[M any](mode M, err error) M {
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}

// Marshal encodes a message as the wire does: deterministic CBOR.
func Marshal(v any) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// Unmarshal decodes a peer's message with the wire's limits: no tags, no
// indefinite lengths, no duplicate keys, at most 4,096 elements in an array.
// The error is [ErrProtocol]. What v then holds is for the caller to validate.
func Unmarshal(data []byte, v any) error {
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: decode %T: %v", ErrProtocol, v, err) //nolint:errorlint // an io.EOF within must not be taken for an end
	}
	return nil
}

// mustMarshal encodes a struct of this package, all of which can be encoded.
func mustMarshal(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
