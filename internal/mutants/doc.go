// Package mutants shows that the tests would notice if a rule were missing. It
// has tests only.
//
// Each mutant is a small change of the product's source that takes one rule out,
// and names the test that must fail then. The changed file never enters the tree:
// go test gets it through -overlay. `make mutants` runs them all and prints a
// table; the ordinary tests only check that each mutant still applies, so that a
// change of the source takes its mutants with it.
//
// Rules that are out of reach of a change of source, because the test itself has
// the rule as a parameter, have their mutants where they are tested: in
// node/register, chord and filestore.
package mutants
