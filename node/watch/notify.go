package watch

import (
	"errors"
	"fmt"

	"github.com/fsnotify/fsnotify"
)

// eventsAhead is how many events may wait for the folder's goroutine before the
// system's own queue fills up.
const eventsAhead = 1024

// notifier tells of changes in folders. *fsnotify.Watcher is one; deaf, which
// hears of nothing, is the other.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
}

// events are what a notifier tells; nil channels tell nothing.
type events struct {
	notifier
	changes <-chan fsnotify.Event
	errors  <-chan error
}

// deaf is the notifier of folders that are only scanned.
type deaf struct{}

func (deaf) Add(string) error    { return nil }
func (deaf) Remove(string) error { return nil }
func (deaf) Close() error        { return nil }

// listen returns the system's notifier.
func listen() (events, error) {
	w, err := fsnotify.NewBufferedWatcher(eventsAhead)
	if err != nil {
		return events{notifier: deaf{}}, err
	}
	return events{notifier: w, changes: w.Events, errors: w.Errors}, nil
}

// watchFault says what to do when the system does not watch a folder.
func watchFault(err error) Fault {
	switch {
	case errors.Is(err, errNoWatches):
		return Fault{Kind: Watches,
			Reason: "the system has no more inotify watches for this user, so the folder is scanned every few seconds instead",
			Hint:   "raise the limit:  sysctl -w fs.inotify.max_user_watches=1048576",
		}
	case errors.Is(err, errNoInstances):
		return Fault{Kind: Watches,
			Reason: "the system has no more inotify instances, or files, for this user, so the folder is scanned every few seconds instead",
			Hint:   "raise the limit:  sysctl -w fs.inotify.max_user_instances=1024",
		}
	}
	return Fault{Kind: Events, Reason: fmt.Sprintf("the system does not tell of changes, so the folder is scanned every few seconds instead: %v", err)}
}
