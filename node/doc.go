// Package node composes the ring, the store and the transfer protocol into a
// file service: it is what a daemon runs and what a Go program embeds.
//
// # Terms
//
// A name is what a file is stored under; its key, SHA-1(name), is its place on
// the ring. The group of a key is the first M distinct live machines at or
// after it, M being the lesser of N and the number of members; the first is the
// owner. A name's register holds a record (what the file is, or that it was
// deleted) and lives at its voters, which are the group as it was when the
// register last moved. A coordinator carries a change through the register;
// any member may, and normally one of the group does. A holder has the content.
//
// # What happens
//
// Store: the content is cut into chunks and compressed once, at the node that
// was asked. It goes to the coordinator, which passes the same chunks on to the
// voters while they arrive. Each voter verifies every chunk and the whole and
// makes the content durable; then the record is put to the vote. OK means that
// at least W nodes, or all there are, have content and record on disk.
//
// What of a large content is staged when a store breaks off is kept for a while, and
// is not sent again by the next store of that name.
//
// Fetch: the register is read, then chunks come from the best holder, each
// checked against the record's root, and from another holder when one fails; from
// several at once where that is found to be faster.
//
// Small content, up to 64 KiB of known length, goes in calls instead of streams, and
// calls to one machine that come at the same time travel together; small.go says how.
// Every name keeps its own rounds, and nothing else differs.
//
// Repair: every node compares the arcs of the ring that it is responsible for
// with the other members of their groups, some time after the ring changed and
// on a schedule. Registers follow the groups, missing copies are made, and a
// copy is deleted only when the register no longer names its node and every
// voter confirmed the content.
//
// Authority: a node that has not compared an arc yet answers "don't know" for
// names it has no record of. "Not found" takes a majority of nodes that know.
//
// # Limits
//
// Every member can read every file. Members may crash and come back; they are
// assumed not to lie. A name whose majority of voters is lost can be fetched,
// unconfirmed, and not be changed until the survivors have taken it over.
package node
