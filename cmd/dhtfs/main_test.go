//go:build unix

package main

import (
	"testing"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m, main) }
