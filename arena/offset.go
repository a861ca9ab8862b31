package arena

// An Offset is a byte position in a region, counted from its first byte. It
// stays valid when the region is mapped at another address.
type Offset uint64
