// Package simulate plays rings of whole nodes through seeded histories of faults
// and checks what a ring promises. It has tests only.
//
// A seed draws a [plan]: how many nodes, the ring's N, W and R, the network's
// delays, how clients behave, which faults strike and when. A run has two
// phases:
//
//   - safety: clients change and read a few names through all nodes while the
//     faults strike. Every byte that is fetched must be of a version that
//     somebody stored under that name, and what clients are told must be
//     linearizable;
//   - healing: every fault ends, and within a bound there is one ordered ring,
//     each name is confirmed with all its copies and none to spare, every node
//     gives out the same, and after a clean stop no goroutine, connection or
//     temporary file is left.
//
// Faults that lose copies for good (a disk that is lost, a byte that rots) are
// dealt out within the budget of the promise, faults that only take time without
// one, but each ends before the others would take over what is out of reach.
//
// The nodes are real, with real codecs, TLS and stores; network, disks and time
// are those of internal/ringtest. Messages that are lost, doubled or overtake one
// another one by one, which a stream does not show to those above it, are the
// business of the simulations in chord and node/register; here streams stall, are
// reset or are heard in one direction only, and clients repeat what they asked.
package simulate
