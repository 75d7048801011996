// Package samplefiles carries the small files of this directory inside the
// program, so that "dhtfs demo" has something real to store wherever it runs.
//
// They are of several kinds (text, CSV, JSON, a PNG image, a PDF, a compressed
// archive, an empty file, a name with spaces and non-ASCII letters, a folder
// in a folder) and were all made for this project.
package samplefiles

import (
	"embed"
	"io/fs"
)

//go:embed *.txt *.csv *.csv.gz *.json *.png *.pdf logbook
var files embed.FS

// FS returns the sample files as a read-only tree. Names are relative to this
// directory and use forward slashes. It may be called concurrently.
func FS() fs.FS { return files }
