// Package fit has the heaps of the textbooks, each with the contract of package
// alloc.
package fit
