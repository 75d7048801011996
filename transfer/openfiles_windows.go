package transfer

import "math"

// MaxOpenFiles is how many connections this process may have: Windows sets no
// limit of its own.
func MaxOpenFiles() int { return math.MaxInt }
