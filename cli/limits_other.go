//go:build !linux

package cli

import "errors"

// inotifyLimits is an error: there is no inotify here.
func inotifyLimits() (watches, instances int, err error) { return 0, 0, errors.ErrUnsupported }
