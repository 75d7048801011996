// Package transfer moves bytes between nodes: calls and their answers, and streams
// of file content, over TLS 1.3 with the ring's certificates on both sides. It knows
// nothing of names, placement or disks.
//
// # Terms
//
// An [Endpoint] is one machine's side of all connections; it serves a TCP port and
// dials others. A peer is dialled twice at need: one control connection carries all
// calls, any number at once; bulk connections carry one stream each and are kept
// for the next. Who dials asks, who accepts answers; for questions the other way
// the other side dials.
//
// # Connections
//
// TLS 1.3 with ALPN "dhtfs/1": both certificates lead to the ring's root. The
// dialling side then sends a Hello, the accepting side answers with its own or with
// an Error that says why not. With ALPN "dhtfs-join/2" the dialling side has a
// self-signed certificate and says by JoinTo which issuer it wants. Where that is
// this machine the answer is JoinVia; the other then sends one Join and gets one
// JoinReply or Error. Where it is not, JoinVia says so, and from then on both sides'
// bytes are carried to the issuer and back: within, the joiner begins a connection
// of the same kind with the issuer itself, and shows the secret to nobody else.
// Nothing else is served to a joiner. See package trust.
//
// # Frames
//
// Integers are big endian; CBOR is deterministic, with integer keys, append only.
//
//	frame      type (1) length of the payload (4) payload
//
//	 1 Hello       CBOR: 1 lowest and 2 highest protocol version, 3 feature bits,
//	               4 ring ID, 5 machine ID, 6 software version, 7 largest chunk,
//	               8 purpose (1 control, 2 bulk)
//	 2 Error       CBOR: 1 code, 2 message. The connection, or the stream, is over
//	 3 Ping        8 bytes
//	 4 Pong        the same 8 bytes
//
// On a control connection, calls one way and the rest back:
//
//	16 Call        ID (8) kind (2) time-out in ms (4) request (CBOR)
//	17 Reply       ID (8) answer (CBOR)
//	18 Fail        ID (8) CBOR: 1 code, 2 message
//	19 Cancel      ID (8); forward, the answer is not wanted any more
//
// A Call of kind 65535 carries up to 128 calls of another kind, which are served side
// by side: CBOR, 1 their kind, 2 their requests. Its answer has theirs in the same
// order: 1 a list of CBOR, 1 what Reply, or 2 what Fail would have carried. See
// [Endpoint.CallJoined].
//
// On a bulk connection:
//
//	32 Open        kind (2) time-out in ms, 0 for none (4) header (CBOR)
//	33 Chunk       raw length (4) flags (1: bit 0 zstd, bit 1 known) SHA-256 of the
//	               raw bytes (32) payload: the raw bytes, or one zstd frame that is
//	               shorter; known: none, as the receiver has said that it has them
//	34 EndChunks   empty: no chunk follows
//	35 Message     CBOR
//	36 Done        empty: this side has ended the stream
//
// For a joiner:
//
//	48 Join        CBOR, trust.JoinRequest
//	49 JoinReply   CBOR, trust.JoinReply
//	50 JoinTo      CBOR: 1 machine ID of the issuer, zero for any
//	51 JoinVia     CBOR: 1 whether this side passes the connection on
//
// A stream begins with Open and ends when both sides have sent Done; the accepting
// side does so when its handler has returned. After an Error on a bulk connection
// the side that sent it throws away what still comes until the other closes, so that
// the reason is not lost with the connection. Pings within a stream are signs of
// life and are not answered. The length of a frame is checked against its type's own
// limit before anything is allocated.
//
// # Promises
//
// Every method that waits ends: by its context, by the peer's answer, or when the
// peer has been silent for [Config.Ping] twice over (a call) or [Config.Silence]
// (a stream); a peer that is only slow is not silent, since it sends signs of life.
// A request is sent at most once. A coded error is found by errors.Is on the other
// side and keeps its words. A writer that is stuck because its peer has failed is
// told what the peer failed with. A chunk that [Decoder] accepts is what was encoded.
//
// # Limits
//
// A stranger has [Config.Handshake] to become a member. Until a whole ClientHello has
// come nothing of TLS is made for it, and it takes about 5 KiB; in the middle of a
// handshake about 30 KiB. Both stages have a number of places, and who comes when all
// are taken gets one: it is the oldest of the network with most of them that goes.
// Strangers never take a member's place. Handshakes of strangers are limited by the
// second, in all and of one network; who comes too early waits in the first stage.
// Networks at which members were met have a rate each, which strangers elsewhere do
// not touch. When file descriptors run out, accepting pauses, and one stranger in
// four goes at once.
//
// Bounded for each member: connections (and so streams), 4 control connections, calls
// on each and 16 MiB of requests on all, with the answers to those that came joined,
// frames waiting to be sent, 4 MiB for a message, 1 MiB for a chunk, a decoder's window
// of 8 MiB and output of the declared length. A stream holds about two chunks on the way in and none on the way out;
// [Compressor.EncodeStream] and [Decoder.DecodeStream] hold up to seven more. The
// memory for a message grows as it comes. Once a frame has begun, each 16 KiB of it
// must come within [Config.Silence], and what is sent must be taken about as fast.
package transfer
