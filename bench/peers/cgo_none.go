//go:build !(cgomalloc && cgo)

package peers

// cgoPeers returns nothing: calling C costs a build with the tag cgomalloc.
func cgoPeers() []Peer { return nil }
