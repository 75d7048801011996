package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/dhtfs/dhtfs/node/api"
)

// ask asks a person whether that is meant; without a terminal --yes has to say so.
func ask(ctx context.Context, a *app, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.stdin) {
		return withHint(usagef("this cannot be undone, and there is no terminal to ask at"), "say --yes if that is meant")
	}
	_, _ = fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	return answered(ctx, a.stdin)
}

// answered returns nil when the next line says yes. A signal is an answer, too, though
// the line is then read until the process ends.
func answered(ctx context.Context, in io.Reader) error {
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		said <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case answer := <-said:
		if answer != "y" && answer != "yes" {
			return errQuiet(api.ExitError)
		}
		return nil
	}
}
