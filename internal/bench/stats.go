package main

import (
	"cmp"
	"slices"
)

// quantile returns the value below which the fraction q of the values lies, by
// linear interpolation; the zero value of none. The values stay as they are.
func quantile[T ~int64 | ~float64](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[T])
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + T((at-float64(low))*float64(sorted[low+1]-sorted[low]))
}

func median[T ~int64 | ~float64](values []T) T { return quantile(values, 0.5) }

// ratio returns the median of the ratios of a to b round by round: what the
// machine did in one round hurt both.
func ratio(a, b []sample) float64 {
	var each []float64
	for i := range min(len(a), len(b)) {
		if b[i].wall > 0 {
			each = append(each, float64(a[i].wall)/float64(b[i].wall))
		}
	}
	return median(each)
}

// each picks one figure of every sample.
func each[T any](samples []sample, pick func(sample) T) []T {
	out := make([]T, len(samples))
	for i, s := range samples {
		out[i] = pick(s)
	}
	return out
}
