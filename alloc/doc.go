// Package alloc is the contract that every allocator of memlab keeps: the four
// verbs, what is an error and what is a fault, statistics, events and checks.
package alloc
