package alloc

import (
	"iter"

	"github.com/memlab-go/memlab/arena"
)

// An Allocator hands out blocks of memory and takes them back.
//
// A block is known by its base address: Free(b[:n]) frees b, Free(b[1:]) of a
// longer block is a fault, and the empty tail b[len(b):] has b's base and
// therefore is b. Blocks are aligned to 16 bytes for sizes of 16 and more, to
// 8 below. Every block has cap == len, so append never reaches a neighbour.
//
// Sizes, limits and use after Close are returned as errors ([ErrSize],
// [ErrNoMemory], [ErrClosed]). A bad block argument panics with a [*Fault]
// before anything is changed; [Try] turns the panic back into an error.
//
// An Allocator is not safe for concurrent use unless its type says so; see
// [Locked].
type Allocator interface {
	// Malloc returns a block with len == cap == size and unspecified
	// contents. Malloc(0) is a unique, freeable block of no bytes.
	Malloc(size int) ([]byte, error)

	// Calloc returns a zeroed block of count*size bytes. A product that
	// overflows, or a negative factor, is ErrSize.
	Calloc(count, size int) ([]byte, error)

	// Realloc changes the size of b to size bytes and returns the block, which
	// may have moved. The first min(len, size) bytes of the block are kept.
	// Realloc(nil, n) is Malloc(n); Realloc(b, 0) frees b and returns nil, nil.
	// On error b is untouched and still the caller's.
	Realloc(b []byte, size int) ([]byte, error)

	// Free takes b back. Free(nil) does nothing. Any view of b is dead
	// afterwards.
	Free(b []byte)
}

// Aligned is implemented by allocators that honour an alignment of the
// caller's choice.
type Aligned interface {
	// MallocAligned is Malloc with a base address that is a multiple of
	// align, a power of two; else the error is [ErrAlign].
	MallocAligned(size, align int) ([]byte, error)

	// ReallocAligned is Realloc with a base address that is a multiple of
	// align, whether or not the block moves.
	ReallocAligned(b []byte, size, align int) ([]byte, error)
}

// A Block is one stretch of a heap's memory, used or free, as [Walker] yields it.
type Block struct {
	Off  arena.Offset // start of the block's payload in its region
	Size int          // usable bytes of a used block, all bytes of a free one
	Used bool         // true while the caller owns it
}

// A Walker can list its blocks.
type Walker interface {
	// Blocks returns an iterator over every block, used and free, in address
	// order. The heap must not change while it runs.
	Blocks() iter.Seq[Block]
}

// A Checker can prove that its own structures are sound.
type Checker interface {
	// Check walks the heap read-only and returns every broken law, joined, or
	// nil. It neither loops nor crashes on damaged memory.
	Check() error
}
