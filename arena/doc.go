// Package arena supplies memory from the operating system: regions that reserve
// address space once and commit on demand, and bump allocation inside them.
package arena
