//go:build !race

package bubble

// RaceDetector says whether the race detector is compiled in. Tests then run
// several times slower: those that try many seeds try fewer.
const RaceDetector = false
