package arena

// largestAlign is the largest alignment that allocation honours: 1 GiB, the
// largest page of common hardware.
const largestAlign = 1 << 30

// validAlign reports whether align is a power of two of at most largestAlign.
func validAlign(align int) bool {
	return align > 0 && align&(align-1) == 0 && align <= largestAlign
}

// alignOffset returns the first offset at or after off whose address is a
// multiple of align, in memory that starts at address base.
func alignOffset(base uintptr, off int64, align int) int64 {
	addr := int64(base) + off
	return off + (-addr)&int64(align-1)
}
