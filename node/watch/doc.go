// Package watch publishes what is in folders, by itself: a file that is dropped
// into a watched folder is on the ring a few seconds after it is complete.
//
// # Terms
//
// A file's name on the ring is the folder's prefix and its path in the folder,
// with slashes. Its print is what can be seen of it without reading it: size,
// modification time, inode, time of change. A file is still when its print has
// been the same for two seconds. What is known of the ring's version of each
// file is remembered in a state file for each folder, by print; so after a
// restart only what has changed is read.
//
// # What is promised
//
// No half-written file is ever published. A file is read only when it is still
// and, where the system can tell, no process has it open for writing; its print
// is compared again after the last byte, and what does not match is broken off
// before the ring has accepted anything. So each version on the ring is a
// content that the file had, whole, at one moment.
//
// Only versions that this node has published are replaced, and only the very
// version that was looked at: a name with other content by another node is a
// conflict, which is shown and left alone. Content that the ring has under
// another name of a watched folder is copied there and not sent again. A file
// that is removed stays on the ring, or, where the folder says so, the version
// that this folder has published is removed.
//
// Nothing is forgotten: what the ring does not take now is tried again, in the
// order in which the files were complete, and after a restart everything is
// looked at.
//
// # How
//
// One goroutine for each folder owns the system's watches, the timer and the
// machine, which decides what is done when and is pure: looks at files,
// outcomes and the time go in, jobs come out. A few workers read and publish.
// Folders are watched before they are read, so that nothing falls between; a
// whole scan at the start, after events were lost, and every ten minutes finds
// what events did not tell. Where there are no events, on network file systems
// or when the system has no more watches, scans every few seconds take their
// place.
//
// # What is left out
//
// What ignore files (.dhtfsignore, with git's rules, which are implemented here
// because those of go-git's matcher differ from git's for negation, "**" and
// classes) and the built-in patterns name; symbolic links, which are never
// followed; sockets, pipes and devices; the homes of nodes.
//
// # Limits
//
// A file that is changed through a memory map is noticed at the next scan. On
// network file systems, and on systems other than Linux, nobody can tell that a
// file is still open for writing: a writer that pauses for longer than two
// seconds there has its file published as it is, and again when it goes on.
package watch
