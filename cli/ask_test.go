package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnswers(t *testing.T) {
	for line, yes := range map[string]bool{"y\n": true, " Yes \n": true, "yes": true, "n\n": false, "\n": false, "": false, "yesterday\n": false} {
		assert.Equal(t, yes, answered(t.Context(), strings.NewReader(line)) == nil, "%q", line)
	}
}

// Whoever is asked and presses Ctrl-C need not press it twice.
func TestASignalEndsTheQuestion(t *testing.T) {
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(Interrupted{Signal: os.Interrupt})
	err := answered(ctx, in)
	require.Error(t, err)
	a, _, _ := testApp(false)
	assert.Equal(t, 130, a.exit(ctx, err))
}
