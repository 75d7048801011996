// Package memnet is a network in memory for tests: hosts, listeners and
// connections with delays, cuts and crashes, without goroutines of its own, so that
// it works inside a testing/synctest bubble in virtual time.
//
// A [Network] holds hosts, each known by the host part of its addresses. What is
// set between two hosts holds for a direction, from one to the other:
//
//   - a delay (and jitter, drawn from the network's seed) that every write takes to
//     arrive, in order, and that a dial takes both ways;
//   - a bandwidth;
//   - a cut: nothing arrives until it heals, and then everything does, as TCP has
//     it. A dial waits for as long as its context lasts.
//
// A host that is killed resets its connections and refuses new ones, as a process
// that dies does. A host that is down is silent: its peers notice nothing, as when
// the power fails. Either comes back, without its connections and listeners, with
// [Network.Up].
package memnet
