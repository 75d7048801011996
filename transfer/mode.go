package transfer

import "fmt"

// Mode says whether and how hard chunks are compressed. The zero value is Auto.
type Mode uint8

// The modes. A chunk that does not shrink goes raw in every mode.
const (
	Auto   Mode = iota // fastest, and only as long as the link is slower than compressing
	Level1             // fastest
	Level2
	Level3
	Level4 // best
	Off
)

// ParseMode reads what [Mode.String] writes: off, auto, 1, 2, 3, 4.
func ParseMode(s string) (Mode, error) {
	for m := Auto; m <= Off; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("compression %q: want off, auto, 1, 2, 3 or 4", s)
}

// String returns the name of the mode.
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Off:
		return "off"
	}
	return fmt.Sprint(uint8(m))
}
