//go:build go1.27 || noclaims

package segregated

// stacksKnown: see the other file.
const stacksKnown = false
