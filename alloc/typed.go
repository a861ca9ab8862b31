package alloc

import (
	"math"
	"reflect"

	"github.com/memlab-go/memlab/internal/pointerfree"
)

// New allocates a zeroed T from a and returns a pointer to it, aligned for T.
// The T lives until [Delete]; the collector neither sees nor frees it.
//
// New panics with a [*Fault] that wraps [ErrPointers] and names the field if T
// holds Go pointers (strings, slices, maps, channels, functions and interfaces
// are pointers too): the collector would free what they point to. The error is
// a's: [ErrNoMemory], [ErrClosed].
//
// The check walks T's fields on every call; [For] pays for it once.
func New[T any](a Allocator) (*T, error) {
	mustBePointerFree[T]("New")
	return newT[T](a)
}

// Make allocates a zeroed slice of n values of T from a, with len == cap == n.
// It lives until [DeleteSlice]. Make panics as [New] does if T holds pointers;
// a negative or overflowing n is [ErrSize].
func Make[T any](a Allocator, n int) ([]T, error) {
	mustBePointerFree[T]("Make")
	return makeT[T](a, n)
}

// Append appends vs to s, which is nil or a slice from [Make] or Append of the
// same allocator with its whole capacity, and returns the slice, which may have
// moved. It grows by half when full, so that n calls copy O(n) values. As with
// Go's append, vs may be a part of s.
//
// On error s is untouched and still the caller's. Every other view of s is dead
// after a call that moved it. Append panics as [New] does if T holds pointers,
// and as Realloc does if s is no block of a.
func Append[T any](a Allocator, s []T, vs ...T) ([]T, error) {
	mustBePointerFree[T]("Append")
	return appendT(a, s, vs...)
}

// Delete frees p, which came from [New] of the same allocator. Delete of nil
// does nothing. It panics as Free does if p is not a live block.
func Delete[T any](a Allocator, p *T) {
	if p != nil {
		a.Free(bytesOf(p))
	}
}

// DeleteSlice frees s, which came from [Make] or [Append] of the same
// allocator. DeleteSlice of nil does nothing. It panics as Free does if s does
// not start at the start of a live block.
func DeleteSlice[T any](a Allocator, s []T) {
	if s != nil {
		a.Free(bytesOfSlice(s))
	}
}

// Typed is a view of an allocator that allocates values of T. Make one with
// [For]. It is a small value, safe for concurrent use if its allocator is.
type Typed[T any] struct {
	a Allocator
}

// For returns a view of a that allocates T. It checks T for pointers once and
// panics as [New] does; the methods of the view do not check again, which makes
// them the choice for loops.
func For[T any](a Allocator) Typed[T] {
	mustBePointerFree[T]("For")
	return Typed[T]{a}
}

// New allocates a zeroed T; see [New].
func (t Typed[T]) New() (*T, error) { return newT[T](t.a) }

// Make allocates n zeroed values of T; see [Make].
func (t Typed[T]) Make(n int) ([]T, error) { return makeT[T](t.a, n) }

// Append appends vs to s; see [Append].
func (t Typed[T]) Append(s []T, vs ...T) ([]T, error) { return appendT(t.a, s, vs...) }

// Delete frees p; see [Delete].
func (t Typed[T]) Delete(p *T) { Delete(t.a, p) }

// DeleteSlice frees s; see [DeleteSlice].
func (t Typed[T]) DeleteSlice(s []T) { DeleteSlice(t.a, s) }

// mustBePointerFree panics with the Fault that op promises if T holds pointers.
func mustBePointerFree[T any](op string) {
	t := reflect.TypeFor[T]()
	if what := pointerfree.Describe(t); what != "" {
		panic(&Fault{Op: op + "[" + typeName(t) + "]", Detail: what, Err: ErrPointers})
	}
}

// typeName is the type's name without its package, or its literal.
func typeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return t.String()
}

// growCap returns the capacity for at least need values when old are full:
// old plus a half, so that copying is amortised and waste stays below a third.
func growCap(old, need int) int {
	if old <= math.MaxInt-old/2-8 {
		return max(need, old+old/2+4)
	}
	return need
}
