// Package api is how other programs on this machine use a running node: HTTP
// and JSON over a unix socket, and the same calls on a loopback port for
// browsers.
//
// # Calls
//
// A file's name is always the query parameter "name", never a part of the path.
//
//	GET    /healthz             200 when the node is in its place, else 503; needs no token
//	GET    /v1/status           dhtfs.status/v1; wait=ready&timeout=60s blocks until the node is ready
//	GET    /v1/nodes            dhtfs.nodes/v1
//	GET    /v1/ring             dhtfs.ring/v1
//	GET    /v1/fingers          dhtfs.fingers/v1
//	GET    /v1/locate           dhtfs.locate/v1; name= or key= (40 hex digits)
//	GET    /v1/files            one JSON object a line: {"file":…} and at last {"summary":…} or {"error":…};
//	                            prefix=, pattern=, ring=true, and with that names=true: {"name":…} alone
//	GET    /v1/file             dhtfs.stat/v1; name=
//	PUT    /v1/file             the body is the content; answers dhtfs.stored/v1; name=, op=, base=, if_exists=,
//	                            mode=, modified=, replicas=, quorum=, compress=
//	DELETE /v1/file             name=, op=, base=
//	GET    /v1/content          the content; name=, offset=, length=, quorum=;
//	                            inline= (more bytes than that are not sent, and Dhtfs-Later says so)
//	POST   /v1/look             body {"names":[…]}; answers dhtfs.look/v1: of each what GET /v1/file answers, or that the
//	                            name is free, and its change counter
//	POST   /v1/contents/store   PUT /v1/file of many small files, see below; answers dhtfs.stored.many/v1; if_exists=,
//	                            replicas=, quorum=, compress=
//	POST   /v1/contents         body {"names":[…],"inline":…,"quorum":…}; the contents of many small files, see below
//	POST   /v1/store            PUT /v1/file of the open file that comes with the call
//	POST   /v1/save             fetches into the open file that comes with the call; answers dhtfs.saved/v1; name=,
//	                            sha256= (of the version that is wanted), have= (bytes there from before), quorum=
//	GET    /v1/invites          dhtfs.invites/v1
//	POST   /v1/invites          body {"ttl_seconds":…,"uses":…}; answers dhtfs.invite/v1
//	DELETE /v1/invites          id=
//	GET    /v1/scrub            dhtfs.scrub/v1
//	POST   /v1/scrub            body {"action":"start"} or {"action":"pause"}; answers dhtfs.scrub/v1
//	POST   /v1/verify           body {"pattern":…,"repair":…,"bytes_per_second":…}; one JSON object a line: {"file":…} for
//	                            each that is not as it should be, {"progress":…}, and at last {"summary":…} or {"error":…}
//	GET    /v1/watch            dhtfs.watch.status/v1: the watched folders and what they are up to
//	POST   /v1/watch            body {"dir":…,"prefix":…,"on_delete":…,"exclude":[…]}; answers dhtfs.watch.add/v1
//	DELETE /v1/watch            dir=; answers dhtfs.watch.rm/v1
//	POST   /v1/nodes/promote    body {"node":…}; answers dhtfs.nodes.promote/v1, as do
//	POST   /v1/nodes/forget     body {"node":…,"force":…}
//	POST   /v1/nodes/revoke     body {"node":…,"with_admitted":…}
//	POST   /v1/login            a one-time address that opens the status page in a browser
//	POST   /v1/logout           body {"timeout_seconds":…}; answers dhtfs.logout/v1 when all is handed over
//	POST   /v1/shutdown         the daemon stops; the node stays a member
//	GET    /debug/pprof/        what the daemon spends its time and memory on; the unix socket only
//
// A failure is an [Error] document with the exit code of the command line, a
// fixed identifier and a sentence; [Error.Unwrap] gives back the sentinel of
// package node or filestore, so that errors.Is works on both sides.
//
// # Content
//
// Content streams both ways and is never held whole. A PUT should say
// "Expect: 100-continue": a refusal that needs no content then arrives before
// any is sent. A refusal while content flows is answered at once and the rest
// of the body is read and thrown away, so that the sender sees the answer and
// not a broken pipe. A GET carries the record in the header Dhtfs-File. A
// client that says "TE: trailers" gets a chunked answer whose trailers tell how
// it ended (Dhtfs-Error) and who served it (Dhtfs-From); any other gets a
// Content-Length, and a connection that breaks off before it when the content
// cannot be completed. Either way a short file cannot pass for a whole one.
//
// # Many small files
//
// A call may be about up to 512 names. Contents of up to 64 KiB follow one another in a
// body, each after a line of JSON that says whose it is and how long. To store: name, op,
// base, size, mode, modified; all are read, 8 MiB together at most, and the answer has an
// item for each in their order, with an "error" where it failed. Each is stored by its own
// operation, as PUT /v1/file does. From a fetch they come in any order: index (in the list
// of names), file, length, from; or "error"; or "later" without content for one that has
// more than inline bytes. {"end":true} is the last line of an answer that is whole.
//
// # Open files
//
// On the unix socket a caller may hand over an open file, as SCM_RIGHTS beside the
// first byte of its request, instead of passing the bytes on. The daemon reads it
// from its offset, or writes it, and the caller sees by the shared offset how far it
// is. What save writes counts only once it has answered: until then nobody has
// checked it. A call that finds no file answers "no_file"; the caller can then do
// the same with PUT /v1/file and GET /v1/content.
//
// # Who may call
//
// The unix socket is open to its owner only (mode 0600) and asks for nothing
// more. On the loopback port every call but /healthz needs the bearer token or
// the cookie of a browser session, which a one-time address begins; the Host
// header must be a loopback name, requests from other sites are refused, and
// no GET changes anything.
package api
