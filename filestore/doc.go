// Package filestore keeps one node's files and registers on its disk. It knows
// no ring and no network; what it decides is only what is durable here.
//
// # Terms
//
//   - A name is what a file is stored under, see [ValidateName]; its key, the
//     SHA-1 of the name, places it on the ring and picks its directory.
//   - A register is what this node holds for one name: the ballot it promised,
//     the ballot it accepted, and the [Record] accepted at that. A tombstone is
//     the record of a deleted name.
//   - Content is the bytes a live record names by SHA-256, in chunks of 1 MiB.
//     It is sealed when it is complete, checked and durable under a temporary
//     name, and visible when the register has accepted it and it has its own.
//     Either way it is held.
//
// # On the disk
//
//	lock                        an empty file, locked while a Store is open
//	registers.db                a bbolt database: the table of registers
//	journal-0, journal-1        the last changes of the table, which are not in it yet
//	reserve                     4 MiB, given up when a commit finds no room
//	files/<position>/<name>     visible content; <position> in hex, <name> by Escape
//	files/<position>/.dhtfs-*   content not yet visible
//	files/.chunks/<root>        the SHA-256 of each chunk, 32 bytes each, of a
//	                            content of more than one chunk; <root> by RootOf
//	quarantine/*/<name>         files that were damaged or that no register names
//
// The table's keys and values:
//
//	'r' SHA-1(name) name    CBOR map of the register (1 promised, 2 accepted, 3 record,
//	                        4 held, 5 temporary path, 6 file to be swept, 7 time), CRC-32C
//	'm' key                 a value of SetMeta, CRC-32C
//	's' 'c'                 the ballot counter reserved, 8 bytes, big endian
//	's' 'r'                 the table was rebuilt and is not trusted yet
//	's' 'f'                 see Store.Floor, 8 bytes, big endian
//	's' 'j'                 the last generation of the journal that is in the table
//	'b' temporary path      small content whose file is not durable yet, CRC-32C;
//	                        only in the journal
//
// A CRC-32C is 4 bytes, big endian, over the table key and the value before
// it. The extended attribute user.dhtfs of a file is what the table held for
// its register when it was accepted, with the CRC over the value alone.
//
// # Promises
//
// Content is written to a temporary file, checked, and synced, and so is its
// directory; only then can a register accept it; the register is synced before
// the file is renamed to its visible name, and that directory is synced again.
// A commit is a record of the journal and one sync, whoever asked for it meanwhile;
// Flush brings many of them into the table at a time. The format of the journal is
// described in generation.go, its states in journal.go.
// Content of up to Options.Small bytes goes into the journal first, in the commit
// that accepts it; its file is written without a sync, and Flush makes many such
// files durable together before their content leaves the journal. Open writes those
// files again whose content it finds there. A table or journal that is lost at the very
// moment when the power goes takes the small contents of the last seconds with it.
// So after a kill or a power loss at any instant:
//
//   - every register that Update returned is there, and so is the content of
//     each that is held;
//   - a visible file is one whole content, never a mix;
//   - nothing temporary is left once Open has returned.
//
// Whole chunks go past the system's memory on their way to the disk and back, where
// system and file system know how (Linux; reading wants 6.5). What somebody else has
// had read into memory is taken from there.
//
// Bytes are checked against their hashes each time they are read, or by whoever
// asked for them, see Content.ReadUnchecked. What does
// not match is never given out, and never again looked at: the file goes into
// quarantine and its register is no longer held. Verify does the same for a
// whole content, and reads it from the disk. That the system has run out of
// file descriptors or memory is no damage.
//
// A sync that fails is not tried again, as the system may have dropped what it
// could not write and report success the next time. Nor is a write that the
// disk refuses for another reason than that it is full; and a table with a
// damaged entry is not decided upon. The Store then refuses everything that
// writes, with ErrDegraded, and goes on reading what is whole. The next Open
// sets a damaged table aside, with its journal, and rebuilds it. So it does when either
// is lost, when the journal is damaged before its end, and when the two are not of the
// same time. The end may be torn by a loss of power: damage of the very last commit
// cannot be told from that, nor, while a checkpoint is under way, the loss of the newer
// of the two files from its never having been used.
//
// On a full disk content is refused and everything else goes on: MinFree bytes
// are left to the table, and when others have filled the disk, the reserve.
//
// # Limits
//
// A write or rename by another program under files/ is noticed only when the
// file is read or at the next Open. What is in quarantine/ stays there until
// TrimQuarantine is called. On a file system that ignores case or normalisation,
// names that differ only in that exclude each other (ErrCollision), and all
// changes wait for each other; one that rewrites names (HFS+) is not supported.
// On Windows a file that is open for reading cannot be replaced.
package filestore
