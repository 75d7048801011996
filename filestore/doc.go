// Package filestore keeps one node's files and registers on its disk. It knows
// no ring and no network.
package filestore
