//go:build !wasm

package arena

// isWasm is 1 where addresses have 32 bits although an int has 64.
const isWasm = 0
