package trace

import "math"

// Limits bound what a reader takes from input that nobody vouches for. A zero
// field means its default.
type Limits struct {
	MaxOps   int   // operations of a trace; 1<<27
	MaxIDs   int   // ids of a trace; 1<<26
	MaxLine  int   // bytes of a line; 4096
	MaxBytes int64 // bytes after decompression; 4 GiB
}

// withDefaults returns l, which may be nil, with its zero fields filled in.
func (l *Limits) withDefaults() Limits {
	var out Limits
	if l != nil {
		out = *l
	}
	out.MaxOps = or(out.MaxOps, 1<<27)
	out.MaxIDs = min(or(out.MaxIDs, 1<<26), math.MaxInt32)
	out.MaxLine = max(or(out.MaxLine, 4096), 16)
	out.MaxBytes = or(out.MaxBytes, 4<<30)
	return out
}

func or[T int | int64](v, byDefault T) T {
	if v <= 0 {
		return byDefault
	}
	return v
}
