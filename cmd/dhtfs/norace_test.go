//go:build !race

package main

// raceDetector: the daemons, too, run with the race detector, which takes memory.
const raceDetector = false
