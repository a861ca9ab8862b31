package arena

import (
	"fmt"
	"math/bits"
	"reflect"
	"unsafe"
)

// New returns a zeroed T in a. It is the caller's until a is reset, closed or
// released to an earlier mark.
//
// New panics with an [Error] that wraps [ErrPointers] and names the field if T
// holds Go pointers (strings, slices, maps, interfaces, … included): the
// collector does not look into the arena, so what they point to would be
// freed. Other errors are those of [Arena.Alloc].
func New[T any](a *Arena) (*T, error) {
	mustBePointerFree[T](a, "New")
	var zero T
	b, err := a.Alloc(int(unsafe.Sizeof(zero)), int(unsafe.Alignof(zero)))
	if err != nil {
		return nil, err
	}
	// SAFETY: b is as large as a T, aligned for it, zero, and T holds no pointers.
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), nil
}

// MakeSlice returns a slice of len zeroed elements with room for cap in a, as
// make([]T, len, cap) does on the Go heap. Appending beyond cap moves the
// elements to the Go heap. MakeSlice panics as [New] does if T holds pointers;
// a negative len, a cap below len, or a product that overflows is [ErrSize].
func MakeSlice[T any](a *Arena, len, cap int) ([]T, error) {
	mustBePointerFree[T](a, "MakeSlice")
	var zero T
	hi, size := bits.Mul(uint(max(cap, 0)), uint(unsafe.Sizeof(zero)))
	if len < 0 || cap < len || hi != 0 || int(size) < 0 {
		return nil, &Error{Op: "makeslice", Size: cap, Err: ErrSize}
	}
	b, err := a.Alloc(int(size), int(unsafe.Alignof(zero)))
	if err != nil {
		return nil, err
	}
	// SAFETY: b holds cap elements, aligned for T and zero, and T holds no pointers.
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), cap)[:len], nil
}

// mustBePointerFree panics if T holds Go pointers.
func mustBePointerFree[T any](a *Arena, op string) {
	t := reflect.TypeFor[T]()
	if what := a.types.Describe(t); what != "" {
		panic(&Error{Op: fmt.Sprintf("%s[%v]", op, t), Err: fmt.Errorf("%w: %s", ErrPointers, what)})
	}
}
