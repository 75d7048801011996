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
// An issuer is a machine with a certificate authority of its own, certified by
// the root; its certificate names the machine. The first machine is an issuer.
//
// A machine is an ed25519 key. Its [MachineID] is the SHA-256 of the raw public
// key. Its certificate (leaf) is signed by an issuer. A chain is the DER of
// [leaf, issuer, root].
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
//	1.3.6.1.3.7041.2  issuer  1 machine ID of the issuing machine
//	1.3.6.1.3.7041.3  leaf    1 nonce (16 bytes), 2 virtual nodes, 3 label, 4 issued (Unix s)
//
// # The member set
//
// [Members] is a grow-only set, the same whatever the order of merging: for each
// machine the newest certificate, the newest announcement (addresses, label,
// version; signed by the machine) and the signed departures. A logout or a
// forget ends certificates issued up to its own time, so the machine may be
// invited again; a revocation ends them for ever. Nothing enters the set before
// its signatures were checked up to the root. Validity in time is deliberately
// no condition for entering: the sets of two nodes with different clocks must
// still become equal. It is checked when a connection is made.
//
// # Tokens
//
//	"dhtfs1" base64url(CBOR ‖ first 4 bytes of SHA-256(CBOR))
//	CBOR: 1 ring ID, 2 fingerprint of the root, 3 issuer's machine ID,
//	      4 addresses (at most 6), 5 secret (32 bytes), 6 expiry (Unix s)
//
// # Limits
//
// Members are trusted not to lie about others: a member that relays a join sees
// the secret and could use it. An issuer that is revoked keeps the ability to
// sign certificates; they can be told apart by [Certificate.Issuer].
package trust
