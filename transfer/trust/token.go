package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"
)

const (
	tokenPrefix   = "dhtfs1"
	tokenChecksum = 4
	maxTokenAddrs = 6
	maxToken      = 4 << 10 // characters
)

// Token is what an invite hands to the machine that may join.
type Token struct {
	Ring    [32]byte  `cbor:"1,keyasint"` // ring ID
	Root    [32]byte  `cbor:"2,keyasint"` // fingerprint of the root
	Issuer  MachineID `cbor:"3,keyasint"`
	Addrs   []string  `cbor:"4,keyasint"` // host:port; at most six are kept
	Secret  [32]byte  `cbor:"5,keyasint"`
	Expires int64     `cbor:"6,keyasint"` // Unix seconds
}

// String returns the token as one line without blanks. It contains the secret:
// print it where it was asked for, and log it nowhere.
func (t Token) String() string {
	t.Addrs = t.Addrs[:min(len(t.Addrs), maxTokenAddrs)]
	body := mustEncode(t)
	sum := sha256.Sum256(body)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(body, sum[:tokenChecksum]...))
}

// ParseToken reads a token. White space anywhere, such as a terminal's line
// breaks, is ignored. The errors are [ErrBadToken] and [ErrTokenExpired]; with the
// latter the token is returned too.
func ParseToken(s string, now time.Time) (Token, error) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	rest, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok || len(s) > maxToken {
		return Token{}, fmt.Errorf("%w: it does not begin with %q", ErrBadToken, tokenPrefix)
	}
	mangled := fmt.Errorf("%w: it is cut short or mangled, copy the whole line", ErrBadToken)
	data, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(data) <= tokenChecksum {
		return Token{}, mangled
	}
	body, check := data[:len(data)-tokenChecksum], data[len(data)-tokenChecksum:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:tokenChecksum], check) {
		return Token{}, mangled
	}
	var t Token
	if err := decMode.Unmarshal(body, &t); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	if len(t.Addrs) == 0 || len(t.Addrs) > maxTokenAddrs || checkAddrs(t.Addrs) != nil {
		return Token{}, fmt.Errorf("%w: its addresses cannot be used", ErrBadToken)
	}
	if now.Unix() >= t.Expires {
		return t, fmt.Errorf("%w: on %s; here it is %s", ErrTokenExpired,
			time.Unix(t.Expires, 0).UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	return t, nil
}

// verify checks that a chain [leaf, issuers..., root] ends in the root that the token
// names.
func (t Token) verify(chain [][]byte) (*Root, *Certificate, error) {
	if len(chain) < 3 {
		return nil, nil, fmt.Errorf("%w: chain of %d certificates", ErrForeign, len(chain))
	}
	root, err := ParseRoot(chain[len(chain)-1])
	if err != nil {
		return nil, nil, err
	}
	if root.ID() != t.Ring || root.Fingerprint() != t.Root {
		return nil, nil, fmt.Errorf("%w: its root is not the one the invite names", ErrForeign)
	}
	cert, err := root.Verify(chain)
	return root, cert, err
}

// checkAddrs refuses addresses that no member can have. They are dialled as they
// are, so more than their form does not matter here.
func checkAddrs(addrs []string) error {
	if len(addrs) > maxAddrs {
		return fmt.Errorf("%d addresses", len(addrs))
	}
	for _, a := range addrs {
		if err := checkText(a, maxAddr); err != nil || a == "" {
			return fmt.Errorf("address %q cannot be used", a)
		}
	}
	return nil
}
