package trust

// syncDir does nothing: Windows has no fsync of a directory, and NTFS journals
// renames itself.
func syncDir(string) error { return nil }
