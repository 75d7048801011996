// Package transfer moves bytes between nodes.
package transfer
