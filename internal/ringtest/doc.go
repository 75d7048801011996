// Package ringtest runs rings of whole nodes in one process for tests: real
// nodes over an in-memory network, with disks that outlive them, in the virtual
// time of a testing/synctest bubble.
//
// [Test] makes the bubble and the ring, and ends with the checks that every
// test owes, see [Ring.Check]. In between a test crashes members, with their
// disks or without, starts them again, cuts links through [Ring.Net], and waits
// for conditions with [Ring.Eventually].
//
// What was acknowledged is kept in the ring's ledger by the helpers that store
// and delete ([Ring.Store], [Ring.Delete]); a test that calls a node itself says
// with [Ring.Acknowledged] what it was told.
//
// Keys, and so the places on the ring, come from the ring's seed; so does what
// a crash leaves of a disk. The nodes' own timers do not, and goroutines run in
// any order: a seed repeats the circumstances, not each step.
package ringtest
