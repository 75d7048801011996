// Package cli is the command line: flags, printing, progress and exit codes.
//
// Each verb has a file with newXxxCommand, its options with AddFlags, and a
// run function. The verbs are clients of the node's daemon (package node/api),
// which they find through daemon.json in the node's home; only daemon, up and
// join make a node themselves. A verb prints data on stdout and everything
// else on stderr, and returns an error; exit.go alone turns errors into exit
// codes and hints.
//
// Every flag can also be given as an environment variable (DHTFS_ and its name
// in upper snake case) or in config.toml (settings.go). Names of files and
// nodes come from other machines: whatever is printed goes through escape.
package cli
