package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// inotifyLimits are how many watches and instances a user may have.
func inotifyLimits() (watches, instances int, err error) {
	for name, to := range map[string]*int{"max_user_watches": &watches, "max_user_instances": &instances} {
		text, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
		if err == nil {
			*to, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if err != nil {
			return 0, 0, fmt.Errorf("limits of inotify: %w", err)
		}
	}
	return watches, instances, nil
}
