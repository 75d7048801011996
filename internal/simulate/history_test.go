package simulate

import "github.com/dhtfs/dhtfs/internal/history"

type (
	kind      = history.Kind
	result    = history.Result
	operation = history.Operation
)

const (
	get         = history.Get
	put         = history.Put
	putIfAbsent = history.PutIfAbsent
	remove      = history.Remove
	kinds       = history.Kinds

	unknown = history.Unknown
	done    = history.Done
	taken   = history.Taken
	absent  = history.Absent
)
