package trust

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxCopies bounds N.
const MaxCopies = 16

const genesisFormat = 1

// Genesis holds what is fixed when a ring is created, signed by its root.
type Genesis struct {
	Format  int    `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"` // for people; 1 to 64 bytes
	N       int    `cbor:"3,keyasint"` // copies wanted
	W       int    `cbor:"4,keyasint"` // durable copies that make a store OK
	R       int    `cbor:"5,keyasint"` // answers that confirm a fetch
	Created int64  `cbor:"6,keyasint"` // Unix seconds
}

// Validate reports as [ErrSettings] what would break the ring's promises: any two
// sets of W must meet, and any W must meet any R.
func (g Genesis) Validate() error {
	switch {
	case g.Format != genesisFormat:
		return fmt.Errorf("%w: format %d, this version knows %d", ErrSettings, g.Format, genesisFormat)
	case checkText(g.Name, maxLabel) != nil || g.Name == "":
		return fmt.Errorf("%w: the name must have 1 to %d printable bytes", ErrSettings, maxLabel)
	case g.N < 1 || g.N > MaxCopies:
		return fmt.Errorf("%w: N is %d, must be 1 to %d", ErrSettings, g.N, MaxCopies)
	case g.W < 1 || g.W > g.N || g.R < 1 || g.R > g.N:
		return fmt.Errorf("%w: W (%d) and R (%d) must be 1 to N (%d)", ErrSettings, g.W, g.R, g.N)
	case 2*g.W <= g.N:
		return fmt.Errorf("%w: 2W must be greater than N (W %d, N %d)", ErrSettings, g.W, g.N)
	case g.W+g.R <= g.N:
		return fmt.Errorf("%w: W+R must be greater than N (W %d, R %d, N %d)", ErrSettings, g.W, g.R, g.N)
	}
	return nil
}

// checkText refuses text that is too long or could disturb a terminal.
func checkText(s string, limit int) error {
	if len(s) > limit || !utf8.ValidString(s) {
		return fmt.Errorf("text of %d bytes is too long or not UTF-8", len(s))
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("text %q has unprintable characters", s)
		}
	}
	return nil
}
