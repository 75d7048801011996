// Package bubble runs tests in virtual time.
//
// It is testing/synctest, but for one thing. Under the race detector, with more
// than one processor, timers of a bubble that fire at one instant damage the
// detector's own state (https://go.dev/issue/78156): it prints stacks that cannot
// be, or ends the process with "CHECK failed". So there a bubble gets one
// processor, which takes no race from the detector's sight: what it compares is
// the order that synchronization gives, not what ran at once.
package bubble
