//go:build race

package replay

// raceDetector says that the race detector's shadow memory counts as resident.
const raceDetector = true
