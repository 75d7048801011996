// Package proctest runs whole rings of real daemon processes for tests.
//
// The test binary plays dhtfs itself: [Main] either runs the tests or, in a
// process that a test has started, the program. So what is tested is what the
// tests were built from, the race detector included.
//
// A [Ring] is a set of [Node]s, each a home directory below a temporary one
// with, most of the time, a daemon that serves it. A test drives it as a user
// does, with commands, and as fate does, with signals. At the end of the test
// every daemon is killed and every home is removed; after a failure the ends of
// the daemons' logs are shown first. A daemon whose log tells of a panic or a
// data race fails the test. A daemon also ends by itself soon after the test
// process, so that not even a test that times out leaves one behind.
//
// It runs on Unix only, since it sends signals.
package proctest
