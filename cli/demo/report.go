package demo

// Report is what a run measured. Its JSON is the last line of `dhtfs demo --json`.
type Report struct {
	Members     int       `json:"members"` // at the start
	Store       Transfer  `json:"store"`
	Copies      int       `json:"copies"` // of the file with fewest, after the store
	Want        int       `json:"want"`   // copies that the ring wants of each file
	Killed      string    `json:"killed"` // name of the node
	AfterKill   Transfer  `json:"fetch_after_kill"`
	LoggedOut   string    `json:"logged_out,omitempty"`
	Moved       int       `json:"moved"` // files that it handed over
	Short       int       `json:"short"` // files that had fewer copies than they should when it left
	AfterLogout *Transfer `json:"fetch_after_logout,omitempty"`
	CopiesAtEnd int       `json:"copies_at_end"` // of the file with fewest
	Seconds     float64   `json:"seconds"`       // of everything
}

// Transfer is what storing or fetching all files came to.
type Transfer struct {
	Through  string  `json:"through"` // name of the node that was asked
	Files    int     `json:"files"`   // of a fetch: found identical
	Bytes    int64   `json:"bytes"`
	Sent     int64   `json:"sent,omitempty"` // bytes between nodes, of a store only
	Seconds  float64 `json:"seconds"`        // of the command, starting it included
	Warnings int     `json:"warnings"`
}

// rate is in bytes per second.
func (t Transfer) rate() uint64 {
	if t.Seconds <= 0 {
		return 0
	}
	return uint64(float64(t.Bytes) / t.Seconds)
}
