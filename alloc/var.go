package alloc

import "encoding/json"

// A StatsVar is an allocator's [Stats] as JSON text. It satisfies expvar.Var; the
// caller publishes it under a name of its own:
//
//	expvar.Publish("heap", alloc.Var(heap))
//
// Package expvar reads it from the goroutine of an HTTP request, so the
// allocator's Stats must be safe for concurrent use ([Locked]'s is).
type StatsVar struct {
	s Statser
}

// Var returns the StatsVar of s.
func Var(s Statser) StatsVar { return StatsVar{s} }

// String returns the Stats of this moment as a JSON object, with the two
// fragmentation figures.
func (v StatsVar) String() string {
	s := v.s.Stats()
	text, err := json.Marshal(struct {
		Stats
		Internal float64 `json:"internal_fragmentation"`
		External float64 `json:"external_fragmentation"`
	}{s, s.InternalFragmentation(), s.ExternalFragmentation()})
	if err != nil {
		return "null" // cannot be: all fields are numbers
	}
	return string(text)
}
