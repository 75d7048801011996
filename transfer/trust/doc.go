// Package trust decides who may connect: the ring's certificate authority, the
// certificates of its members, the invites that let new machines in, and the
// set of members that every node keeps.
//
// # Terms
//
// The root is an ed25519 key and its self-signed certificate, made once by
// [CreateRing]. The certificate carries the ring's [Genesis], so the signature
// of the root covers the settings. The ring ID is the SHA-256 of the root's raw
// public key; the root's fingerprint is the SHA-256 of its certificate.
//
// An issuer is a machine whose key is certified for issuing, by the root or by
// another issuer, at most eight below the root. The first machine is one. Issuers
// are in order of seniority: nearer to the root first, then made earlier.
//
// A machine is an ed25519 key. Its [MachineID] is the SHA-256 of the raw public
// key. Its certificate (leaf) is signed by an issuer, valid for 90 days and renewed
// by any issuer before. A chain is the DER of [leaf, issuers..., root].
//
// A position is a place on the ring: SHA-1(tag, public key, nonce, i) for each
// i below the certificate's number of virtual nodes. The issuer chooses the
// nonce after it has seen the key, out of [Candidates] random ones, so that no
// machine picks its own place and gaps stay even; see [PickNonce].
//
// # Extensions
//
// Three private X.509 extensions hold CBOR maps with integer keys, append only:
//
//	1.3.6.1.3.7041.1  root    Genesis: 1 format, 2 name, 3 N, 4 W, 5 R, 6 created (Unix s)
//	1.3.6.1.3.7041.2  issuer  1 machine ID of the issuing machine, 2 issued (Unix s)
//	1.3.6.1.3.7041.3  leaf    1 nonce (16 bytes), 2 virtual nodes, 3 label, 4 issued (Unix s)
//
// # The member set
//
// [Members] is a grow-only set, the same whatever the order of merging: for each
// machine the newest certificate of each issuer, the newest announcement (addresses,
// label, version; signed by the machine), the signed departures, and its power to
// issue. A logout or a forget ends certificates issued up to its own time, so the
// machine may be invited again; a revocation ends them for ever. Nothing enters the
// set before its signatures were checked up to the root. Validity in time is
// deliberately no condition for entering: the sets of two nodes with different
// clocks must still become equal. It is checked when a connection is made.
//
// Which revocations count is decided over the whole set, in order of seniority of
// those who signed; see [Members.Revoke]. What an issuer signed counts for nothing
// once it, or one that it got its power from, is revoked: whoever revokes certifies
// anew those who are to stay. So no date in a certificate matters.
//
// # Tokens
//
//	"dhtfs1" base64url(CBOR ‖ first 4 bytes of SHA-256(CBOR))
//	CBOR: 1 ring ID, 2 fingerprint of the root, 3 issuer's machine ID,
//	      4 addresses (at most 6), 5 secret (32 bytes), 6 expiry (Unix s)
//
// # Limits
//
// Members are trusted not to lie about others, as far as they could. An issuer is
// trusted until it is revoked; what it let in before is for people to look at.
package trust
