// Command dhtfs shares files among the machines of a ring. See "dhtfs help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dhtfs/dhtfs/cli"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(cli.Interrupted{Signal: <-signals})
		signal.Stop(signals) // the next one ends the process at once
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
