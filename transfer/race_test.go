//go:build race

package transfer

// The race detector takes memory of its own.
const raceDetector = true
