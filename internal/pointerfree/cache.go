package pointerfree

import (
	"reflect"
	"sync"
)

// A Cache remembers which types hold no pointers, so that a typed helper pays
// for reflection once per type and not once per call. The zero value is ready.
// It is safe for concurrent use.
type Cache struct {
	good sync.Map // reflect.Type → struct{}
}

// Describe is [Describe], from memory when t is known to hold no pointers.
func (c *Cache) Describe(t reflect.Type) string {
	if k := t.Kind(); reflect.Bool <= k && k <= reflect.Complex128 {
		return "" // numbers, by the order of reflect's kinds
	}
	if _, ok := c.good.Load(t); ok {
		return ""
	}
	what := Describe(t)
	if what == "" {
		c.good.Store(t, struct{}{})
	}
	return what
}
