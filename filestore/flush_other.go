//go:build !linux

package filestore

func (d *osDisk) flush(files []string) error { return flushEach(d, files) }
