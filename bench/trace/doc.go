// Package trace reads, writes and generates the traces that memlab's
// measurements run on: allocation traces (.rep) and memory-reference traces
// (lackey text, .vmt, OSTEP lists).
package trace
