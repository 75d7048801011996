package node

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/filestore"
)

func TestConflictName(t *testing.T) {
	op := filestore.OpID{0x1a, 0x2b, 0x3c, 0x4d, 0x5e}
	assert.Equal(t, "docs/report.pdf (conflict 1a2b3c4d)", conflictName("docs/report.pdf", op, 8))
	assert.Equal(t, "x (conflict 1a2b3c4d5e000000)", conflictName("x", op, 16))
	for _, name := range []string{
		strings.Repeat("x", filestore.MaxName),
		strings.Repeat("x", filestore.MaxName-19),
		strings.Repeat("€", filestore.MaxName/3),
		strings.Repeat("y/", filestore.MaxName/2-1) + "z",
	} {
		for _, digits := range conflictDigits {
			got := conflictName(name, op, digits)
			assert.NoError(t, filestore.ValidateName(got))
			assert.True(t, strings.HasSuffix(got, ")"))
			assert.Greater(t, len(got), filestore.MaxName-8, "no more is left out than must be")
		}
	}
}
