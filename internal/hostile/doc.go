// Package hostile is what tests attack decoders with.
//
// A [Decoder] is something that reads bytes which others have made: a peer, a
// stranger, a disk. It must never panic, and it must not take memory out of
// proportion to what it was given. [Decoder.Fuzz] looks for inputs that break this
// by coverage; [Mutate] makes many from examples, the same ones in every run.
//
// [Mutants] is how many that is for each decoder: a few hundred, or the value of the
// environment variable DHTFS_MUTANTS.
package hostile
