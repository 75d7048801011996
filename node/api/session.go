package api

import (
	"crypto/rand"
	"sync"
	"time"
)

// How long the two secrets of a browser last, and how many there can be.
const (
	ticketLife  = 5 * time.Minute
	sessionLife = 12 * time.Hour
	maxSecrets  = 64
)

// sessions keeps one-time tickets and the browser sessions they were traded
// for, in memory only. Safe for concurrent use.
type sessions struct {
	now func() time.Time

	mu      sync.Mutex
	tickets map[string]time.Time // until when
	open    map[string]time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, tickets: make(map[string]time.Time), open: make(map[string]time.Time)}
}

// newTicket returns a secret that redeem takes once.
func (s *sessions) newTicket() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(s.tickets, ticketLife)
}

// redeem trades a ticket for a session.
func (s *sessions) redeem(ticket string) (session string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.tickets[ticket]
	delete(s.tickets, ticket)
	if !ok || !s.now().Before(until) {
		return "", false
	}
	return s.add(s.open, sessionLife), true
}

func (s *sessions) valid(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.open[session]
	return ok && s.now().Before(until)
}

// add makes a secret and forgets those that are over; when there are too many
// it forgets the one that would have been over first.
func (s *sessions) add(m map[string]time.Time, life time.Duration) string {
	now := s.now()
	var first string
	for secret, until := range m {
		if !now.Before(until) {
			delete(m, secret)
		} else if first == "" || until.Before(m[first]) {
			first = secret
		}
	}
	if len(m) >= maxSecrets {
		delete(m, first)
	}
	secret := rand.Text()
	m[secret] = now.Add(life)
	return secret
}
