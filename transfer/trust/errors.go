package trust

import "errors"

// What the functions of this package report; test with errors.Is.
var (
	// ErrSignature: a signature is not of the key that should have made it.
	ErrSignature = errors.New("signature is wrong")
	// ErrForeign: a certificate that does not lead to this ring's root.
	ErrForeign = errors.New("certificate is not of this ring")
	// ErrCertificate: a certificate that is malformed or breaks the ring's rules.
	ErrCertificate = errors.New("certificate is malformed")
	// ErrClock: a certificate that is not valid now; one of the clocks may be wrong.
	ErrClock = errors.New("certificate is not valid at this time, check the clock")
	// ErrWrongMachine: the machine that answered is not the one that was called.
	ErrWrongMachine = errors.New("another machine answered")
	// ErrDeparted: the machine has logged out or was forgotten.
	ErrDeparted = errors.New("machine has left the ring")
	// ErrRevoked: the machine was excluded from the ring.
	ErrRevoked = errors.New("machine was revoked")
	// ErrNoMember: a machine that the set does not know, or that is no member any more.
	ErrNoMember = errors.New("machine is no member")
	// ErrSeniority: an issuer cannot do this to itself or to one that it depends on.
	ErrSeniority = errors.New("another issuer has to do this")
	// ErrSettings: ring settings that cannot keep the promises.
	ErrSettings = errors.New("ring settings are invalid")
	// ErrBadMembers: an encoded member set, or an entry of one, that cannot be taken.
	ErrBadMembers = errors.New("member set is malformed")

	// ErrBadToken: text that is not a whole invite token.
	ErrBadToken = errors.New("not a valid invite token")
	// ErrTokenExpired: a token whose time is over by this machine's clock.
	ErrTokenExpired = errors.New("invite token has expired")

	// ErrInviteUnknown: no invite with this secret or ID was made here.
	ErrInviteUnknown = errors.New("invite is unknown")
	// ErrInviteUsed: the invite has let in as many machines as it may.
	ErrInviteUsed = errors.New("invite was already used")
	// ErrInviteExpired: the invite's time is over by the issuer's clock.
	ErrInviteExpired = errors.New("invite has expired")
	// ErrInviteRevoked: the invite was withdrawn.
	ErrInviteRevoked = errors.New("invite was revoked")
	// ErrBadRequest: a join request that is malformed.
	ErrBadRequest = errors.New("join request is malformed")
)
