//go:build race

package segregated

// raceEnabled makes Shared and Handle take locks where they otherwise rely on
// the order that words are written in, which the race detector does not know.
const raceEnabled = true
