// Package chord keeps the ring: which position follows which, and who owns a
// key. It knows neither files nor sockets.
//
// # Terms
//
// A position ([ID]) is a point on a circle of 2^160. A machine takes part with
// one or more positions, its [Peer]s; all of them fail together. The owner of a
// key is the first position at or after it. A position's predecessor and
// successors are its neighbours, counter-clockwise and clockwise. A position is
// placed once it has adopted a successor list, or found that it is alone.
//
// # Layers
//
// A position's protocol state changes only in the unexported type machine,
// which has no clock, goroutine, randomness or I/O: ticks, requests, replies
// and failures go in, messages to be sent come out. The simulation in this
// package's tests drives thousands of these through an event queue. [Ring]
// drives the positions of one machine over a [Transport]. The second pure type,
// search, is one lookup in progress.
//
// # Protocol
//
// The published Chord loses order or splits for ever under some failures. This
// package follows the corrected protocol of Pamela Zave, "Reasoning about
// Identifier Spaces: How to Make Chord Correct", IEEE Transactions on Software
// Engineering 43(12), 2017:
//
//   - Stabilize asks the first live successor s for its predecessor and its
//     successor list in one exchange and adopts s followed by that list. If the
//     predecessor lies nearer than s, it is asked the same and adopted only when
//     it answers.
//   - Rectify, on a notify from n, takes n for predecessor if n lies nearer than
//     the present one, or if the present one, when asked, is dead.
//   - Join finds the place and copies the whole successor list there.
//   - Nothing is adopted on hearsay: only a peer that itself answered, or itself
//     spoke, in the present step.
//
// Beyond the paper: a round walks back over many predecessors and is repeated
// at once after a change; a position whose predecessor changes nudges the old
// one to stabilize; a position that leaves says so; and reunion asks a random
// remembered peer, through that peer's own ring, who follows this position, so
// that rings parted by a network split become one again. A peer that the
// successor's list names and that lies nearer than the successor is asked in the
// same round: members that were each alone can find each other in an order that
// goes round the circle more than once.
//
// # Promises
//
// Each successor list is in clockwise order, without duplicates, without the
// position itself, and names up to [Config.Successors] other machines; positions
// passed on the way stay in it, up to 64 in all. A position says that a key is
// its own only when it lies in (predecessor, itself], or when it is alone. Fingers and the
// route cache are hints: a wrong one costs a hop, never a wrong answer.
//
// As long as not all the machines in a successor list die before one repair
// (about two rounds and a time-out), and live machines answer in time, there is
// exactly one ordered ring, and every member reaches it. When that is broken (a
// split, a pause, mass failure) reunion leads back to one ring as long as the
// remembered peers connect the members.
//
// # Limits
//
// Members may stop and come back; they are not taken to lie. A position that is
// cut off from all others takes itself for a ring of one and owns every key
// there: whoever keeps data must ask for a quorum. Ownership is a view, not a
// lease: for moments two positions may both claim a key, or none.
package chord
