package lsm

import (
	"sync"
	"time"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// A tokenBucket bounds a rate: take blocks until its bytes have dripped in. A
// second's worth may be taken at once. A nil bucket has no bound. Safe for
// concurrent use.
type tokenBucket struct {
	mu     sync.Mutex
	rate   float64 // bytes per second; also what the bucket holds
	tokens float64
	last   time.Time
	now    func() time.Time
}

func newTokenBucket(bytesPerSecond int, now func() time.Time) *tokenBucket {
	if bytesPerSecond == 0 {
		return nil
	}
	r := float64(bytesPerSecond)
	return &tokenBucket{rate: r, tokens: r, last: now(), now: now}
}

// take takes n bytes and returns how long the taker must wait before it uses
// them. The bucket may go below zero, so a large n is paid for afterwards.
func (b *tokenBucket) take(n int) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if dt := now.Sub(b.last).Seconds(); dt > 0 {
		b.tokens = min(b.rate, b.tokens+dt*b.rate)
	}
	b.last = now
	b.tokens -= float64(n)
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}

// A throttledWriter writes a table at the rate of the bucket. Once stop is closed
// it no longer waits.
type throttledWriter struct {
	f      vfs.File
	bucket *tokenBucket
	stop   <-chan struct{}
}

func (w *throttledWriter) Write(b []byte) (int, error) {
	if wait := w.bucket.take(len(b)); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-w.stop:
		}
	}
	return w.f.Write(b)
}
