// Package invariants says whether this build checks its own laws after every
// operation. Build with -tags invariants to turn the checks on; without the
// tag Enabled is a false constant and the compiler drops the guarded code.
package invariants
