// Package segregated is the heap to use: small sizes from runs of equal slots,
// larger ones by best fit, every bad free detected, all in one region off the
// Go heap.
package segregated
