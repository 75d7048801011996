// Package register is the consensus behind each name: one CASPaxos register
// whose voters move with the ring.
//
// The protocol is CASPaxos (Rystsov, "CASPaxos: Replicated State Machines
// without logs", 2018): a change prepares a ballot at the voters, takes the
// record of the greatest accepted ballot among a majority's promises, applies
// a function to it and has the result accepted under the same ballot. A record
// that a majority has accepted is chosen; every later change starts from it or
// from a successor of it.
//
// A name that is new can be created in one round, as in the first round of Fast Paxos
// (Lamport, "Fast Paxos", Distributed Computing 19, 2006): Round.Create sends the
// record unasked, under a ballot that is Fast. A voter that knows that there is no
// record and has promised nothing accepts it, see OnCreate. Since several coordinators
// may do so at once, all voters have to accept it for it to be chosen: then every
// majority has it, and nothing else. Fast ballots are below all others, so that a
// voter which missed what a majority has chosen cannot outbid it.
//
// Terms:
//
//   - View: the voter list a round goes to, and the accepted ballot of the
//     record it was read from, its basis. The zero basis belongs to a name
//     that nobody has stored yet; its voters are then the key's group.
//   - Joint list: old and new voters together, while they move. Every Prepare,
//     Accept and one-round read under a joint list needs a majority of each
//     (Ongaro and Ousterhout, "In Search of an Understandable Consensus
//     Algorithm", extended version, section 6).
//   - Base: the change counter a client saw before its first attempt. With the
//     last filestore.HistoryLen changes kept in the record it tells a retry from a new
//     operation. A change takes the counter beyond its base, which may be that of
//     another branch.
//
// Voters move in two steps. A move to a target list writes a joint record,
// prepared and accepted by majorities of the old and of the new. Only a round
// whose promises show that very joint ballot accepted by a majority of each
// may drop the old list. A voter that has accepted a greater ballot under
// another list than the round's refuses and hands over its own record, so that
// a coordinator with an outdated view learns the current one.
//
// A name that is created on both sides of a split, or whose voters are replaced
// without their majority (Task.Force), has records that do not follow from one
// another. Each names its branch and the other branches that it takes account of.
// A view is of one branch; records of others that come with promises are taken
// account of as values: the newer version where one follows from the other, else
// Clash, until the losing version is stored beside the name. Voters refuse what
// would make them give up a version unaccounted for: also in their own branch, when
// they have given up another one's for a record that was not chosen then.
//
// A voter that has no record and may have missed one promises and accepts like
// the others, and so catches up, but its promise counts towards no majority.
//
// When all that knew a name's range are away for long, its voters say so (Vacant).
// Whether the name exists nobody can tell then. It can be created all the same, once
// every voter was asked and none has a record: in a branch of its own, so that what
// comes back is another version and neither is lost.
//
// Everything here is pure: Voter rules are functions from a register and a
// message to a register and an answer; Round and Reading are fed answers and
// say what to do next. There is no clock, no goroutine and no I/O, so that all
// of it runs under a simulator which reorders, loses and repeats messages. The
// caller makes what a voter function returns durable before it sends the
// answer.
//
// Limits: machines may crash and come back with their disks; they are assumed
// not to lie. One that lost its disk comes back without a record and Ignorant.
// Nothing that was sent to it before may reach it: it would take an old record for all
// it missed. Its promises are lost as well: what it accepts then, while a round with a
// greater ballot is under way that it had promised to, may be overlooked. Creating one name through coordinators that disagree about the
// key's group is not linearizable; everything after the creation is.
package register
