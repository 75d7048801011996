package transfer

import "math"

// maxOpenFiles is how many connections this process may have: Windows sets no
// limit of its own.
func maxOpenFiles() int { return math.MaxInt }
