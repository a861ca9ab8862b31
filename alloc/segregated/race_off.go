//go:build !race

package segregated

// raceEnabled is set in builds with the race detector.
const raceEnabled = false
