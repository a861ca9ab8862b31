package lsm

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TableOptions says how a table on its own is written or read. Zero fields mean
// the documented defaults; nil means all of them.
type TableOptions struct {
	// Comparer orders the keys, BytewiseComparer() by default. A table refuses to
	// be opened with an order of another name than it was made with.
	Comparer *Comparer
	// FS is the file system, vfs.OS() by default.
	FS vfs.FS

	// Writing: bytes of a data block before compression, 4096 by default, 512 MiB
	// at most; keys between restart points, 16; codec, Snappy; bits of bloom filter for each
	// key, 10, negative for no filter.
	BlockSize, BlockRestartInterval int
	Compression                     Compression
	BloomBitsPerKey                 float64

	// Reading: MemoryLimit bounds what is held off the Go heap: the index, the
	// filter and the cache of blocks; 8 MiB by default. Backing says where that
	// memory comes from. Mmap reads through a mapping of the file.
	MemoryLimit int
	Backing     arena.Backing
	Mmap        bool
}

const (
	defaultTableMemory = 8 << 20
	minTableMemory     = 64 << 10 // what a heap needs to be one
)

// complete returns a copy with every zero field filled in.
func (o *TableOptions) complete() (TableOptions, error) {
	var c TableOptions
	if o != nil {
		c = *o
	}
	if c.BlockSize < 0 || c.BlockSize > maxBlockSize || c.BlockRestartInterval < 0 ||
		c.MemoryLimit < 0 || c.MemoryLimit > maxSize || c.Compression > Zstd ||
		math.IsNaN(c.BloomBitsPerKey) || c.BloomBitsPerKey > maxBloomBits {
		return c, fmt.Errorf("%w: a size is negative or too large, or the compression unknown", ErrOptions)
	}
	if c.Comparer == nil {
		c.Comparer = BytewiseComparer()
	}
	if err := c.Comparer.Validate(); err != nil {
		return c, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if c.FS == nil {
		c.FS = vfs.OS()
	}
	if c.BloomBitsPerKey == 0 {
		c.BloomBitsPerKey = 10
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = defaultTableMemory
	}
	return c, nil
}

// A TableWriter writes sorted key-value pairs to a table: a file that can be
// searched, and that LevelDB's and RocksDB's tools read. Not safe for concurrent use.
//
// The file appears under its name only when it is whole: until Finish it has the
// name with ".tmp" behind it.
type TableWriter struct {
	dir  vfs.Dir
	f    vfs.File
	w    *table.Writer
	name string
	ikey []byte
	err  error
}

// TableInfo describes a finished table.
type TableInfo struct {
	Size              int64 // bytes of the file
	Entries           int
	Smallest, Largest []byte // keys, nil without entries
}

// NewTableWriter makes the table at path. Close it when done, also after Finish.
func NewTableWriter(path string, o *TableOptions) (*TableWriter, error) {
	c, err := o.complete()
	if err != nil {
		return nil, err
	}
	dir, err := c.FS.OpenDir(filepath.Dir(path), false)
	if err != nil {
		return nil, fmt.Errorf("lsm: write table: %w", err)
	}
	t := &TableWriter{dir: dir, name: filepath.Base(path)}
	if t.f, err = dir.Create(t.name + ".tmp"); err != nil {
		return nil, joinClose(fmt.Errorf("lsm: write table: %w", err), dir)
	}
	t.w = table.NewWriter(t.f, &table.WriterOptions{Comparer: c.Comparer, BlockSize: c.BlockSize,
		RestartInterval: c.BlockRestartInterval, Compression: c.Compression, BitsPerKey: c.BloomBitsPerKey})
	return t, nil
}

// Put adds a pair. Keys must ascend strictly; one that does not is an error, as is
// anything that the file system says, and the table is lost with it. A key or value
// past [MaxKeyLen] or [MaxValueLen] is [ErrTooLarge] and not added. Key and value are
// copied.
func (t *TableWriter) Put(key, value []byte) error {
	if t.err != nil {
		return t.err
	}
	if len(key) > MaxKeyLen || len(value) > MaxValueLen {
		return fmt.Errorf("%w: key of %d and value of %d bytes (most: %d and %d)", ErrTooLarge, len(key), len(value), MaxKeyLen, MaxValueLen)
	}
	t.ikey = keys.Append(t.ikey[:0], key, 0, keys.KindSet)
	if err := t.w.Add(t.ikey, value); err != nil {
		t.err = fmt.Errorf("lsm: write %s: %w", t.name, err)
	}
	return t.err
}

// EstimatedSize returns about how many bytes the file would have if it were
// finished now.
func (t *TableWriter) EstimatedSize() uint64 { return t.w.EstimatedSize() }

// Finish completes the file, syncs it and gives it its name, replacing any file
// that has it.
func (t *TableWriter) Finish() (TableInfo, error) {
	if t.err != nil {
		return TableInfo{}, t.err
	}
	info, err := t.w.Finish()
	if err == nil {
		err = t.f.Sync()
	}
	if t.f != nil {
		err = joinClose(err, t.f)
		t.f = nil
	}
	if err == nil {
		err = t.dir.Rename(t.name+".tmp", t.name)
	}
	if err == nil {
		err = t.dir.Sync()
	}
	if err != nil {
		t.err = fmt.Errorf("lsm: write %s: %w", t.name, err)
		return TableInfo{}, t.err
	}
	t.err = ErrClosed
	out := TableInfo{Size: info.Size, Entries: info.Entries}
	if info.Entries > 0 {
		out.Smallest, out.Largest = keys.User(info.Smallest), keys.User(info.Largest)
	}
	return out, nil
}

// Close gives up a table that is not finished and removes its file. After Finish
// it does nothing.
func (t *TableWriter) Close() error {
	if t.dir == nil {
		return nil
	}
	var err error
	if t.f != nil {
		err = t.f.Close()
		t.f = nil
	}
	if t.err != ErrClosed {
		err = errors.Join(err, t.dir.Remove(t.name+".tmp"))
		t.err = ErrClosed
	}
	err = joinClose(err, t.dir)
	t.dir = nil
	return err
}
