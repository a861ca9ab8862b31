package arenatest

import "testing"

// sweepLimit is the number of calls after which a sweep gives up: a workload
// should be small, and one that depends on the run would never end.
const sweepLimit = 10000

// Sweep runs workload with a pager whose call 1 fails with err, then with one
// whose call 2 fails, and so on, until a run is through before its turn to
// fail comes. Only calls of the given kinds count, all if none are given.
//
// The workload must release everything that it made the pager hold, also when
// it fails, and may return the error it met; it has to check by itself that
// its structures are sound after the failure. Close may be what fails: then it
// has to be tried again. Sweep fails t if mappings are left over, or if the run
// without a failure returns an error. It returns the number of runs in which a
// call failed.
func Sweep(t testing.TB, err error, workload func(p *Pager) error, ops ...Op) int {
	t.Helper()
	for k := 1; k <= sweepLimit; k++ {
		p := New()
		p.FailAt(k, err, ops...)
		got := workload(p)
		if checkErr := p.Check(); checkErr != nil {
			t.Fatalf("failing call %d: after the workload (error %v): %v", k, got, checkErr)
		}
		if !p.Injected() {
			if got != nil {
				t.Fatalf("run %d, in which nothing failed: %v", k, got)
			}
			return k - 1
		}
	}
	t.Fatalf("the workload still makes calls after %d", sweepLimit)
	return sweepLimit
}
