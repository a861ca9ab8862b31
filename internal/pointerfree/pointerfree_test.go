//lint:file-ignore U1000 the fields are only looked at by reflection

package pointerfree

import (
	"reflect"
	"testing"
)

type inner struct {
	n int
	s string
}

type node struct {
	key  uint64
	next *node
}

type deep struct {
	a [3]int
	b [2]inner
}

type blank struct {
	_ func()
}

type embedded struct {
	node
}

func TestDescribe(t *testing.T) {
	tests := []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[int](), ""},
		{reflect.TypeFor[uintptr](), ""},
		{reflect.TypeFor[[4]complex128](), ""},
		{reflect.TypeFor[struct{}](), ""},
		{reflect.TypeFor[[0]*int](), ""},
		{reflect.TypeFor[struct{ a [0]string }](), ""},
		{reflect.TypeFor[*int](), "*int has a pointer"},
		{reflect.TypeFor[string](), "string has a pointer"},
		{reflect.TypeFor[[]byte](), "[]uint8 has a pointer"},
		{reflect.TypeFor[map[int]int](), "map[int]int has a pointer"},
		{reflect.TypeFor[chan int](), "chan int has a pointer"},
		{reflect.TypeFor[func()](), "func() has a pointer"},
		{reflect.TypeFor[any](), "interface {} has a pointer"},
		{reflect.TypeFor[[2]string](), "element [0] has a pointer"},
		{reflect.TypeFor[[2][1]node](), "element [0][0].next has a pointer"},
		{reflect.TypeFor[node](), "field next has a pointer"},
		{reflect.TypeFor[deep](), "field b[0].s has a pointer"},
		{reflect.TypeFor[blank](), "field #0 has a pointer"},
		{reflect.TypeFor[embedded](), "field node.next has a pointer"},
	}
	for _, tt := range tests {
		if got := Describe(tt.typ); got != tt.want {
			t.Errorf("Describe(%v) = %q, want %q", tt.typ, got, tt.want)
		}
	}
}
