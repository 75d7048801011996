//go:build unix

package main

import (
	"context"
	"os"
	"testing"

	"github.com/dhtfs/dhtfs/cli"
	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestMain lets the test binary be dhtfs for the processes that a test starts.
func TestMain(m *testing.M) {
	proctest.Main(m, func() {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	})
}
