package mt19937

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The numbers that CPython prints.
func TestFloat(t *testing.T) {
	for seed, want := range map[uint64][]float64{
		0:              {0.8444218515250481, 0.7579544029403025, 0.420571580830845},
		6:              {0.793340083761663, 0.8219540423197268, 0.4850346279309453},
		1 << 40:        {0.1036394562812375, 0.6705558677439764},
		math.MaxUint64: {0.021825695401270107, 0.3380953268613758},
	} {
		m := New(seed)
		for _, w := range want {
			require.InDelta(t, w, m.Float(), 0, "seed %d", seed)
		}
	}
}

func TestBelow(t *testing.T) {
	m := New(3)
	for i, want := range []int{2, 5, 3, 6, 6, 0, 0, 8} {
		require.Equal(t, want, m.Below(10), "number %d", i)
	}
}

// The state is renewed after 624 words; a float takes two.
func TestLong(t *testing.T) {
	m := New(0)
	for range 999 {
		m.Float()
	}
	require.InDelta(t, 0.4804125346981437, m.Float(), 0)
}
