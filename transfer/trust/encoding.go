package trust

import "github.com/fxamacker/cbor/v2"

// Bounds on what a peer can make this package decode.
const (
	maxLabel       = 64      // bytes of a label
	maxVersion     = 64      // bytes of a software version
	maxAddrs       = 16      // addresses of a member
	maxAddr        = 262     // bytes of an address: a DNS name, a colon, a port
	maxCertificate = 4 << 10 // bytes of one DER certificate
	maxMembers     = 1 << 16 // entries of a member set
	maxRequest     = 4 << 10 // bytes of a join request
)

// The modes have no mutable state; they are what cbor.Marshal would be with
// other defaults.
var (
	encMode = mustMode(cbor.CoreDetEncOptions().EncMode())
	decMode = mustMode(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  8,
		MaxArrayElements: maxMembers,
		MaxMapPairs:      64,
	}.DecMode())
)

func mustMode[M any](mode M, err error) M {
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}

// mustEncode encodes a struct of this package, all of which can be encoded.
func mustEncode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
