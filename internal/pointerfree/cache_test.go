//lint:file-ignore U1000 the fields are only looked at by reflection

package pointerfree

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCacheAgreesWithDescribe(t *testing.T) {
	type inner struct{ name string }
	for _, typ := range []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[uintptr](), reflect.TypeFor[complex128](),
		reflect.TypeFor[string](), reflect.TypeFor[[4]uint16](), reflect.TypeFor[[4]*int](),
		reflect.TypeFor[struct{ a, b int }](), reflect.TypeFor[struct{ in [2]inner }](),
	} {
		var c Cache
		for range 2 {
			require.Equal(t, Describe(typ), c.Describe(typ), typ)
		}
	}
	var c Cache
	typ := reflect.TypeFor[struct{ a [3]int }]()
	c.Describe(typ)
	require.Zero(t, testing.AllocsPerRun(100, func() { c.Describe(typ) }))
}

func BenchmarkDescribe(b *testing.B) {
	typ := reflect.TypeFor[struct {
		a    [3]int
		b    struct{ x, y float32 }
		c, d uint8
	}]()
	b.Run("cache=no", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Describe(typ)
		}
	})
	b.Run("cache=yes", func(b *testing.B) {
		b.ReportAllocs()
		var c Cache
		for b.Loop() {
			c.Describe(typ)
		}
	})
}
