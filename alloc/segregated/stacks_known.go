//go:build !go1.27 && !noclaims

package segregated

// stacksKnown says that stacks are as shared_claim.go needs them: in Go up to 1.26 they are, by
// its runtime's source. That may change with a release, so in later ones goroutines have no claims
// until somebody has looked and moved the limit: they are for speed only. With the tag noclaims
// they have none either.
const stacksKnown = true
