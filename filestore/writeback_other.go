//go:build !linux

package filestore

import "os"

// dropCache does nothing: there is no such hint here.
func dropCache(*os.File) {}

// beginWriteback does nothing: there is no such hint here.
func beginWriteback(*os.File, int64, int64) {}
