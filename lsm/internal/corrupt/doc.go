// Package corrupt holds the error that every reader of the store returns when
// bytes on disk cannot be what was written.
package corrupt
