package api

import (
	"time"

	"github.com/dhtfs/dhtfs/node"
)

// InviteInfo is an invitation without its secret.
type InviteInfo struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left
	Revoked bool      `json:"revoked"`
}

// Invite is a new invitation: the line to paste on another machine.
type Invite struct {
	Schema string `json:"schema"` // dhtfs.invite/v1
	Token  string `json:"token"`
	InviteInfo
}

// Invites is what GET /v1/invites answers.
type Invites struct {
	Schema  string       `json:"schema"` // dhtfs.invites/v1
	Invites []InviteInfo `json:"invites"`
}

// Logout tells how leaving the ring went.
type Logout struct {
	Schema  string   `json:"schema"` // dhtfs.logout/v1
	Moved   int      `json:"moved"`  // files handed to their heirs
	Short   []string `json:"short"`  // names with fewer copies than they should have
	Seconds float64  `json:"seconds"`
}

func inviteOf(i node.Invite) InviteInfo {
	return InviteInfo{ID: i.ID, Created: i.Created.UTC(), Expires: i.Expires.UTC(), Uses: i.Uses, Revoked: i.Revoked}
}

func logoutOf(r node.LogoutReport) Logout {
	short := r.Short
	if short == nil {
		short = []string{}
	}
	return Logout{Schema: "dhtfs.logout/v1", Moved: r.Moved, Short: short, Seconds: r.Elapsed.Seconds()}
}
