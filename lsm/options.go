package lsm

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A Durability says what a write survives once it has returned.
type Durability uint8

// The durability levels. The zero value is OS.
const (
	// OS returns after the commit group is with the operating system, by one
	// write(2): it survives kill -9, and loses at most a suffix on power loss.
	OS Durability = iota
	// Sync returns after fsync: it survives power loss.
	Sync
	// Buffered returns once the write is in this process's log buffer: kill -9
	// may lose a suffix. Any later OS or Sync write, Flush and Close carry it on.
	Buffered
)

// String names d as the command line does.
func (d Durability) String() string {
	switch d {
	case OS:
		return "os"
	case Sync:
		return "sync"
	case Buffered:
		return "buffered"
	}
	return fmt.Sprintf("durability %d", uint8(d))
}

// ParseDurability is the inverse of [Durability.String].
func ParseDurability(s string) (Durability, error) {
	for _, d := range []Durability{OS, Sync, Buffered} {
		if d.String() == s {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%w: durability %q is none of sync, os, buffered", ErrOptions, s)
}

// A Compression is how data blocks are stored.
type Compression = table.Compression

// The compressions.
const (
	Snappy = table.Snappy // fast; every LevelDB reads it
	None   = table.None
	Zstd   = table.Zstd // denser and slower; LevelDB's own tools do not read it
)

// A Comparer orders user keys; see its fields.
type Comparer = keys.Comparer

// BytewiseComparer returns LevelDB's default order: bytes.Compare, by the name
// leveldb.BytewiseComparator.
func BytewiseComparer() *Comparer { return keys.Bytewise() }

// Options says how a store is laid out and what it may use. Zero fields mean the
// documented defaults; nil means all of them. Open copies and checks it.
type Options struct {
	// WriteBufferSize is the size of a memtable in bytes, 64 MiB by default, at
	// least 4 KiB. BlockCacheSize is the size of the cache of data blocks, 64 MiB
	// by default, at least 1; both shrink to fit a MemoryLimit when left zero.
	WriteBufferSize, BlockCacheSize int
	// MemoryLimit bounds all memory held off the Go heap: memtables, block cache,
	// index and filter blocks, log buffers. Compactions have their buffers on the Go
	// heap. By default it is the sum of what the parts ask for. [Stats.Memory] shows how it is split.
	MemoryLimit int
	// BloomBitsPerKey sizes the bloom filters: 10, the default, gives a rate of
	// false positives near 1 %. Negative: no filter.
	BloomBitsPerKey float64
	// Compression is the codec of new data blocks, Snappy by default.
	Compression Compression
	// Durability is the level of writes that do not name one, OS by default.
	Durability Durability
	// Backing says where the memory comes from: arena.Mmap, the default, or
	// arena.GoHeap, which the race detector can see.
	Backing arena.Backing

	// FS is the file system, vfs.OS() by default.
	FS vfs.FS
	// Comparer orders the keys, BytewiseComparer() by default. A store refuses
	// to be opened with an order of another name than it was made with.
	Comparer *Comparer
	// BlockSize is the size of a data block in bytes before compression, 4096 by
	// default, 512 MiB at most. BlockRestartInterval is the number of keys between restart
	// points, 16 by default.
	BlockSize, BlockRestartInterval int
	// MaxWriteBuffers is how many memtables there may be, one being written and
	// the others being flushed: 2 by default, at least 2.
	MaxWriteBuffers int
	// TablesSize is the memory for index and filter blocks in bytes. By default
	// it is what MemoryLimit leaves, or 64 MiB without a MemoryLimit.
	TablesSize int
	// TargetFileSize is the size of a table that compaction writes, 4 MiB by default.
	TargetFileSize int
	// LevelSize is the size level 1 is kept below, 64 MiB by default;
	// each further level holds LevelMultiplier times more, 10 by default.
	LevelSize, LevelMultiplier int
	// L0CompactionTrigger is how many tables on level 0 start a compaction, 4 by
	// default. From L0SlowdownTrigger on, 12 by default, each commit group waits
	// a millisecond; at L0StopTrigger, 24 by default, it waits for a compaction.
	L0CompactionTrigger, L0SlowdownTrigger, L0StopTrigger int
	// MaxCompactions is how many compactions run at once, on disjoint files: by
	// default 2, or 1 with one processor. Negative: none in the background.
	MaxCompactions int
	// CompactionRate bounds what flushes and compactions write, in bytes per
	// second over a second's burst. 0, the default: no bound.
	CompactionRate int
	// StallLimit bounds how long a write waits for flushes and compactions before
	// it gives up with ErrMemoryLimit: 1 minute by default.
	StallLimit time.Duration
	// MaxOpenFiles is how many tables are kept open, 1000 by default.
	MaxOpenFiles int
	// MmapTables reads tables through a mapping of the file instead of pread. The
	// pages then count in the process's resident size. Not every system can.
	MmapTables bool
	// InPlaceUpdate lets a write overwrite the value in the memtable when it
	// fits. Snapshots are refused, an iterator may see later values, and a read
	// may see a part of a batch that is being applied.
	InPlaceUpdate bool
	// Recovery says how much damage Open tolerates, TornTail by default.
	Recovery RecoveryMode
	// ReadOnly opens without writing, creating or locking anything.
	ReadOnly bool
	// MustExist refuses to make a new store; ErrorIfExists refuses an old one.
	MustExist, ErrorIfExists bool
	// Events is told what the store does in the background, one event at a time.
	// It must not call the store.
	Events func(Event)
	// Logger receives what an operator wants to read, nil for nothing.
	Logger *slog.Logger

	limited bool // MemoryLimit was given: memtables may not pass their share either

	guard bool        // tests: an inaccessible page on either side of each region
	pager arena.Pager // tests: makes the system calls for memory
}

// A RecoveryMode says what Open does about a damaged log.
type RecoveryMode uint8

// The recovery modes.
const (
	// TornTail takes an unfinished write at the end of the last log, or zeros or
	// garbage there, for what a crash leaves, and drops it. So it does with a record
	// in which a whole sector was never written, and with what follows, since a disk
	// may write later sectors first. Other damage is an error, any single flipped bit
	// with a record behind it above all. Not told apart: a record with a sector of
	// zeros of its own, damaged in several bits, is taken for one of these.
	TornTail RecoveryMode = iota
	// Strict takes any damage for an error, an unfinished edit at the end of the
	// MANIFEST included. Zeros at the end of a log are space that was never written.
	Strict
	// PointInTime opens at the state before the first damage. [DB.Recovery] says
	// what was left out.
	PointInTime
	// Salvage takes every record that still checks, across damage.
	Salvage
)

// String names m.
func (m RecoveryMode) String() string {
	switch m {
	case TornTail:
		return "torn-tail"
	case Strict:
		return "strict"
	case PointInTime:
		return "point-in-time"
	case Salvage:
		return "salvage"
	}
	return fmt.Sprintf("recovery mode %d", uint8(m))
}

const (
	minWriteBuffer  = 4 << 10
	defaultBuffer   = 64 << 20
	defaultCache    = 64 << 20
	defaultTables   = 64 << 20
	logBufferSize   = 1 << 20
	smallLogBuffer  = 64 << 10
	defaultStall    = time.Minute
	maxWriteBufferN = 64
	maxBloomBits    = 1000
	maxBlockSize    = table.MaxBlockSize / 2              // a block ends behind the entry that passes BlockSize
	maxSize         = math.MaxInt / (2 * maxWriteBufferN) // so that no sum of shares overflows
)

// withDefaults returns a copy with every zero field filled in.
func (o *Options) withDefaults() (*Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.FS == nil {
		c.FS = vfs.OS()
	}
	if c.Comparer == nil {
		c.Comparer = keys.Bytewise()
	}
	if c.BloomBitsPerKey == 0 {
		c.BloomBitsPerKey = 10
	}
	setDefault(&c.BlockSize, 4096)
	setDefault(&c.BlockRestartInterval, 16)
	setDefault(&c.MaxWriteBuffers, 2)
	setDefault(&c.TargetFileSize, 4<<20)
	setDefault(&c.LevelSize, 64<<20)
	setDefault(&c.LevelMultiplier, 10)
	setDefault(&c.L0CompactionTrigger, 4)
	setDefault(&c.L0SlowdownTrigger, max(12, c.L0CompactionTrigger))
	setDefault(&c.L0StopTrigger, max(24, c.L0SlowdownTrigger))
	setDefault(&c.MaxCompactions, min(2, runtime.GOMAXPROCS(0)))
	setDefault(&c.MaxOpenFiles, 1000)
	if c.StallLimit == 0 {
		c.StallLimit = defaultStall
	}
	return &c, c.splitMemory()
}

func setDefault(v *int, d int) {
	if *v == 0 {
		*v = d
	}
}

// validate reports the first field that makes no sense.
func (o *Options) validate() error {
	for _, f := range []struct {
		name     string
		v, least int
	}{
		{"WriteBufferSize", o.WriteBufferSize, minWriteBuffer},
		{"BlockCacheSize", o.BlockCacheSize, 1},
		{"MemoryLimit", o.MemoryLimit, 64 << 10},
		{"BlockSize", o.BlockSize, 1},
		{"BlockRestartInterval", o.BlockRestartInterval, 1},
		{"MaxWriteBuffers", o.MaxWriteBuffers, 2},
		{"TablesSize", o.TablesSize, 1},
		{"TargetFileSize", o.TargetFileSize, 1},
		{"LevelSize", o.LevelSize, 1},
		{"LevelMultiplier", o.LevelMultiplier, 2},
		{"L0CompactionTrigger", o.L0CompactionTrigger, 1},
		{"L0SlowdownTrigger", o.L0SlowdownTrigger, 1},
		{"L0StopTrigger", o.L0StopTrigger, 1},
		{"CompactionRate", o.CompactionRate, 1},
		{"MaxOpenFiles", o.MaxOpenFiles, 1},
	} {
		if f.v != 0 && f.v < f.least {
			return fmt.Errorf("%w: %s is %d, the least is %d", ErrOptions, f.name, f.v, f.least)
		}
		if f.v > maxSize {
			return fmt.Errorf("%w: %s is %d, the most is %d", ErrOptions, f.name, f.v, maxSize)
		}
	}
	switch {
	case o.BlockSize > maxBlockSize:
		return fmt.Errorf("%w: BlockSize is %d, the most is %d", ErrOptions, o.BlockSize, maxBlockSize)
	case o.MaxWriteBuffers > maxWriteBufferN:
		return fmt.Errorf("%w: MaxWriteBuffers is %d, the most is %d", ErrOptions, o.MaxWriteBuffers, maxWriteBufferN)
	case math.IsNaN(o.BloomBitsPerKey) || o.BloomBitsPerKey > maxBloomBits:
		return fmt.Errorf("%w: BloomBitsPerKey is %v, the most is %d", ErrOptions, o.BloomBitsPerKey, maxBloomBits)
	case o.Compression > Zstd:
		return fmt.Errorf("%w: %v", ErrOptions, o.Compression)
	case o.StallLimit < 0:
		return fmt.Errorf("%w: StallLimit is %v", ErrOptions, o.StallLimit)
	case o.Durability > Buffered:
		return fmt.Errorf("%w: %v", ErrOptions, o.Durability)
	case o.Recovery > Salvage:
		return fmt.Errorf("%w: %v", ErrOptions, o.Recovery)
	case o.Backing != arena.Mmap && o.Backing != arena.GoHeap && o.pager == nil:
		return fmt.Errorf("%w: backing must be arena.Mmap or arena.GoHeap", ErrOptions)
	case (o.MustExist || o.ReadOnly) && o.ErrorIfExists:
		return fmt.Errorf("%w: ErrorIfExists and MustExist or ReadOnly exclude each other", ErrOptions)
	case o.Comparer != nil:
		if err := o.Comparer.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	return nil
}

// splitMemory fixes the share of each part, so that the shares add up to the
// limit:
//
//	MemoryLimit = MaxWriteBuffers·WriteBufferSize + BlockCacheSize + TablesSize + log buffer
func (o *Options) splitMemory() error {
	if o.MemoryLimit == 0 {
		setDefault(&o.WriteBufferSize, defaultBuffer)
		setDefault(&o.BlockCacheSize, defaultCache)
		setDefault(&o.TablesSize, defaultTables)
		o.MemoryLimit = o.MaxWriteBuffers*o.WriteBufferSize + o.BlockCacheSize + o.TablesSize + o.logBuffer()
		return nil
	}
	o.limited = true
	if o.WriteBufferSize == 0 {
		o.WriteBufferSize = max(minWriteBuffer, min(defaultBuffer, o.MemoryLimit/2/o.MaxWriteBuffers))
	}
	rest := o.MemoryLimit - o.MaxWriteBuffers*o.WriteBufferSize - o.logBuffer()
	if o.BlockCacheSize == 0 {
		o.BlockCacheSize = max(1, min(defaultCache, (rest-o.TablesSize)*3/4))
	}
	if o.TablesSize == 0 {
		o.TablesSize = rest - o.BlockCacheSize
	}
	if o.TablesSize < 0 || rest-o.BlockCacheSize-o.TablesSize < 0 {
		return fmt.Errorf("%w: %d memtables of %d bytes, a log buffer of %d, a cache of %d and %d for tables pass the MemoryLimit of %d",
			ErrOptions, o.MaxWriteBuffers, o.WriteBufferSize, o.logBuffer(), o.BlockCacheSize, max(0, o.TablesSize), o.MemoryLimit)
	}
	return nil
}

// memtableLimit is what all memtables together may take, 0 for no bound.
func (o *Options) memtableLimit() int {
	if !o.limited {
		return 0
	}
	return o.MaxWriteBuffers * o.WriteBufferSize
}

// logBuffer is the size of the log's buffer: smaller in small stores.
func (o *Options) logBuffer() int {
	if o.WriteBufferSize >= 16*smallLogBuffer {
		return min(logBufferSize, o.WriteBufferSize/16)
	}
	return smallLogBuffer
}

// WriteOptions says how one Apply behaves; nil means the store's defaults. The zero
// Durability is OS here as anywhere, not what [Options.Durability] says: without an
// fsync, in a store that syncs by default too.
type WriteOptions struct {
	Durability Durability
}

// IterOptions bounds an iterator; nil means everything.
type IterOptions struct {
	// LowerBound is the first key an iterator can see, UpperBound the first it
	// cannot. Nil: no bound. They are copied.
	LowerBound, UpperBound []byte
}
