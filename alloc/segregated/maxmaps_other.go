//go:build !linux

package segregated

// maxMappings returns a number of mappings that is no trouble: these systems
// have no limit to be read, and slow down rather than refuse.
func maxMappings() int { return 65536 }
