package main

import (
	"math"
	"math/bits"
	"time"
)

const (
	mantissa = 7 // bits: a bucket is less than 1% wide
	buckets  = (65 - mantissa) << mantissa
)

// histogram counts durations in buckets of equal relative width, so that millions of them cost no memory.
type histogram struct {
	counts [buckets]int64
	n      int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(d))]++
	h.n++
	h.raise(d)
}

func (h *histogram) merge(other *histogram) {
	for i, count := range other.counts {
		h.counts[i] += count
	}
	h.n += other.n
	h.raise(other.max)
}

func (h *histogram) raise(d time.Duration) {
	if d > h.max {
		h.max = d
	}
}

// quantiles in milliseconds, named as in the result; none without a value.
func (h *histogram) quantiles() map[string]float64 {
	found := map[string]float64{}
	if h.n == 0 {
		return found
	}
	for name, q := range map[string]float64{"p50": .5, "p90": .9, "p99": .99, "p999": .999} {
		found[name] = rounded(h.quantile(q), 3)
	}
	found["max"] = rounded(milliseconds(h.max), 3)
	return found
}

func (h *histogram) quantile(q float64) float64 {
	left := int64(math.Ceil(q * float64(h.n)))
	for i, count := range h.counts {
		left -= count
		if left <= 0 {
			return milliseconds(time.Duration(value(i)))
		}
	}
	return milliseconds(h.max)
}

// bucket: values below 2^mantissa each have their own; above, the leading bits decide.
func bucket(v uint64) int {
	if v < 1<<mantissa {
		return int(v)
	}
	shift := bits.Len64(v) - mantissa - 1
	return shift<<mantissa + int(v>>shift)
}

// value is the middle of a bucket.
func value(i int) uint64 {
	if i < 2<<mantissa {
		return uint64(i)
	}
	shift := i>>mantissa - 1
	return uint64(i-shift<<mantissa)<<shift + 1<<shift/2
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func rounded(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}
