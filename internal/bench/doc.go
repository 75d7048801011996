// Command bench measures how fast dhtfs moves files, and beside it, in the same
// run and taking turns, what a person would use instead. It starts real daemons
// on loopback and real commands; `make bench` builds and runs it.
//
// A row is one piece of work. Each of its contenders does it once a round, and
// the order of contenders turns by one every round, so that whatever else the
// machine is doing hurts all of them alike. The table shows medians, the range,
// and the ratio to the row's reference, which is the median of the ratios within
// each round: believe those and the CPU seconds rather than the seconds.
//
// CPU is user and system time of every process that takes part: the command and
// whatever serves it. Memory is the peak resident set of the largest of them.
//
// The rows that end in "limited to" are of a ring of its own, each daemon in a network
// namespace, whose links send and receive at that rate and no faster; that takes root,
// ip and tc. Content that does not shrink stands for a fetch without compression.
//
// Contenders that are not installed are left out and named below the table.
package main
