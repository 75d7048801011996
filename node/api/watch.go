package api

import (
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/dhtfs/dhtfs/node/watch"
)

// errNoWatch is for programs that serve the API without watched folders.
var errNoWatch = errors.New("this daemon watches no folders")

// WatchFolder is a watched folder, and what POST /v1/watch takes.
type WatchFolder struct {
	Dir      string   `json:"dir"`
	Prefix   string   `json:"prefix"`
	OnDelete string   `json:"on_delete"` // keep or remove
	Exclude  []string `json:"exclude"`
}

// WatchFault is what is not as it should be in a watched folder.
type WatchFault struct {
	Kind   string    `json:"kind"`
	Path   string    `json:"path,omitempty"` // in the folder; without: the whole of it
	Reason string    `json:"reason"`
	Hint   string    `json:"hint,omitempty"`
	Since  time.Time `json:"since"`
}

// WatchStatus is what a watched folder is up to.
type WatchStatus struct {
	WatchFolder
	State     string       `json:"state"` // starting, watching, polling or missing
	Files     int          `json:"files"`
	Published int          `json:"published"`
	Waiting   int          `json:"waiting"`
	Failed    int          `json:"failed"`
	Conflicts int          `json:"conflicts"` // of those that failed
	Skipped   int          `json:"skipped"`   // links, devices and the like
	Faults    []WatchFault `json:"faults"`
	Scanned   *time.Time   `json:"scanned,omitempty"`
	FilesRead int64        `json:"files_read"` // since the daemon started
	BytesRead int64        `json:"bytes_read"`
}

// Watch is what GET /v1/watch answers.
type Watch struct {
	Schema  string        `json:"schema"` // dhtfs.watch.status/v1
	Folders []WatchStatus `json:"folders"`
}

// WatchChange is what POST and DELETE /v1/watch answer.
type WatchChange struct {
	Schema string `json:"schema"` // dhtfs.watch.add/v1, dhtfs.watch.rm/v1
	WatchFolder
}

// WatchSummary is all watched folders together, in a Status.
type WatchSummary struct {
	Folders   int `json:"folders"`
	Files     int `json:"files"`
	Published int `json:"published"`
	Waiting   int `json:"waiting"`
	Failed    int `json:"failed"`
	Faults    int `json:"faults"` // that concern whole folders
}

func (h *Handler) watchStatus(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, watchOf(h.folders()))
}

// folders is the status of the watched folders.
func (h *Handler) folders() []watch.Status {
	if h.watch == nil {
		return nil
	}
	return h.watch.Status()
}

func (h *Handler) watchAdd(w http.ResponseWriter, r *http.Request) error {
	if h.watch == nil {
		return errNoWatch
	}
	var request WatchFolder
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	folder := watch.Folder{
		Dir: request.Dir, Prefix: request.Prefix, OnDelete: watch.OnDelete(request.OnDelete), Exclude: request.Exclude,
	}
	if !filepath.IsAbs(folder.Dir) {
		return errors.Join(ErrUsage, errors.New("dir: the path must be absolute"))
	}
	added, err := h.watch.Add(folder)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, WatchChange{Schema: "dhtfs.watch.add/v1", WatchFolder: watchFolderOf(added)})
}

func (h *Handler) watchRemove(w http.ResponseWriter, r *http.Request) error {
	if h.watch == nil {
		return errNoWatch
	}
	removed, err := h.watch.Remove(r.URL.Query().Get("dir"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, WatchChange{Schema: "dhtfs.watch.rm/v1", WatchFolder: watchFolderOf(removed)})
}

func watchFolderOf(f watch.Folder) WatchFolder {
	return WatchFolder{Dir: f.Dir, Prefix: f.Prefix, OnDelete: string(f.OnDelete), Exclude: f.Exclude}
}

func watchOf(folders []watch.Status) Watch {
	doc := Watch{Schema: "dhtfs.watch.status/v1", Folders: make([]WatchStatus, 0, len(folders))}
	for _, f := range folders {
		s := WatchStatus{
			WatchFolder: watchFolderOf(f.Folder), State: string(f.State), Files: f.Files, Published: f.Published,
			Waiting: f.Waiting, Failed: f.Failed, Conflicts: f.Conflicts, Skipped: f.Skipped,
			Faults: make([]WatchFault, 0, len(f.Faults)), FilesRead: f.FilesRead, BytesRead: f.BytesRead,
		}
		if !f.Scanned.IsZero() {
			at := f.Scanned.UTC()
			s.Scanned = &at
		}
		for _, x := range f.Faults {
			s.Faults = append(s.Faults, WatchFault{Kind: string(x.Kind), Path: x.Path, Reason: x.Reason, Hint: x.Hint, Since: x.Since.UTC()})
		}
		doc.Folders = append(doc.Folders, s)
	}
	return doc
}

// watchSummaryOf adds folders up; nil when there are none.
func watchSummaryOf(folders []watch.Status) *WatchSummary {
	if len(folders) == 0 {
		return nil
	}
	sum := WatchSummary{Folders: len(folders)}
	for _, f := range folders {
		sum.Files += f.Files
		sum.Published += f.Published
		sum.Waiting += f.Waiting
		sum.Failed += f.Failed
		for _, x := range f.Faults {
			if x.Path == "" {
				sum.Faults++
			}
		}
	}
	return &sum
}
