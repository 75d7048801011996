package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// The application protocols (ALPN) of the one port.
const (
	ProtocolMember = "dhtfs/1"      // both sides are members
	ProtocolJoin   = "dhtfs-join/2" // the dialling side wants to become one, or to renew its certificate
)

// ServerTLS returns the configuration of an accepting side. It serves members
// and, if join is set, joiners; look at the negotiated protocol. A member's chain
// is checked up to the root; whether it is valid now is left to the caller
// ([Certificate.ValidAt]), who can then tell the other side why it is refused.
func (id *Identity) ServerTLS(join bool) *tls.Config {
	protocols := []string{ProtocolMember}
	if join {
		protocols = append(protocols, ProtocolJoin)
	}
	cfg := id.config(protocols...)
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.SessionTicketsDisabled = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		switch cs.NegotiatedProtocol {
		case ProtocolMember:
			_, err := id.Peer(cs)
			return err
		case ProtocolJoin:
			_, err := JoinerKey(cs)
			return err
		}
		return fmt.Errorf("%w: no protocol was negotiated", ErrForeign)
	}
	return cfg
}

// ClientTLS returns the configuration for calling a member of this ring whose
// certificate is valid now: the machine want, or any if want is zero. What it
// refuses fails the handshake with [ErrForeign], [ErrClock] or [ErrWrongMachine].
func (id *Identity) ClientTLS(want MachineID, now func() time.Time) *tls.Config {
	cfg := id.config(ProtocolMember)
	cfg.InsecureSkipVerify = true // VerifyConnection checks the ring's own rules instead
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		cert, err := id.Peer(cs)
		if err != nil {
			return err
		}
		if want != (MachineID{}) && cert.Machine != want {
			return fmt.Errorf("%w: %x instead of %x", ErrWrongMachine, cert.Machine[:6], want[:6])
		}
		return cert.ValidAt(now())
	}
	return cfg
}

func (id *Identity) config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   protocols,
		Certificates: []tls.Certificate{{Certificate: id.Chain(), PrivateKey: id.key}},
	}
}

// Peer returns the certificate of the member at the other end of a connection,
// checked up to the root but not in time.
func (id *Identity) Peer(cs tls.ConnectionState) (*Certificate, error) {
	if cs.NegotiatedProtocol != ProtocolMember {
		return nil, fmt.Errorf("%w: protocol %q", ErrForeign, cs.NegotiatedProtocol)
	}
	return id.root.Verify(rawChain(cs))
}

// JoinTLS returns the configuration with which the machine of key dials to join: a
// self-signed certificate, and nobody is spoken to who does not chain to the root
// that the token names or whose certificate is not valid now. Such a member may be
// one that passes the joiner on: see [Token.CheckIssuer].
func JoinTLS(key ed25519.PrivateKey, token Token, now func() time.Time) (*tls.Config, error) {
	return joinTLS(key, now, func(chain [][]byte) (*Certificate, error) {
		_, cert, err := token.verify(chain)
		return cert, err
	})
}

// CheckIssuer refuses, as [ErrWrongMachine], to show the secret to any machine but
// the issuer of the token, which the connection of a [JoinTLS] leads to or not.
func (t Token) CheckIssuer(cs tls.ConnectionState) error {
	_, cert, err := t.verify(rawChain(cs))
	if err == nil && cert.Machine != t.Issuer {
		err = fmt.Errorf("%w: %x instead of the issuer %x", ErrWrongMachine, cert.Machine[:6], t.Issuer[:6])
	}
	return err
}

// RenewTLS is JoinTLS for a member whose certificate may have ended: it speaks to
// any member of its ring.
func (id *Identity) RenewTLS(now func() time.Time) (*tls.Config, error) {
	return joinTLS(id.key, now, id.root.Verify)
}

func joinTLS(key ed25519.PrivateKey, now func() time.Time, verify func(chain [][]byte) (*Certificate, error)) (*tls.Config, error) {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "dhtfs joiner"},
		NotBefore:    now().Add(-backdated),
		NotAfter:     now().Add(backdated),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign own certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{ProtocolJoin},
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		InsecureSkipVerify: true, // VerifyConnection checks the ring's own rules instead
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != ProtocolJoin {
				return fmt.Errorf("%w: it lets nobody join", ErrForeign)
			}
			cert, err := verify(rawChain(cs))
			if err != nil {
				return err
			}
			return cert.ValidAt(now())
		},
	}, nil
}

// JoinerKey returns the public key of the joiner at the other end of a connection.
func JoinerKey(cs tls.ConnectionState) (ed25519.PublicKey, error) {
	if cs.NegotiatedProtocol != ProtocolJoin || len(cs.PeerCertificates) != 1 {
		return nil, fmt.Errorf("%w: not a joiner", ErrForeign)
	}
	key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: key is not ed25519", ErrCertificate)
	}
	return key, nil
}

func rawChain(cs tls.ConnectionState) [][]byte {
	var chain [][]byte
	for _, cert := range cs.PeerCertificates {
		chain = append(chain, cert.Raw)
	}
	return chain
}
