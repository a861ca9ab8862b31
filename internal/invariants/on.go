//go:build invariants

package invariants

// Enabled is true in builds with the invariants tag: structures check their
// laws after each operation, fresh memory is filled with 0xAA and freed memory
// with 0xDD, and double closes, out-of-order releases and leaks are loud.
const Enabled = true
