// Package table reads and writes sorted tables in LevelDB's format.
//
// The interface, which is being filled in:
//
//	type WriterOptions struct {
//		Comparer *keys.Comparer; BlockSize, RestartInterval int; Compression Compression
//		BitsPerKey float64 // ≤ 0: no filter
//		FileNum uint64     // identity, checked at open
//	}
//	func NewWriter(w io.Writer, o *WriterOptions) *Writer
//	func (w *Writer) Add(ikey, value []byte) error         // ascending internal keys
//	func (w *Writer) AddRangeDelete(start, end []byte, seq keys.SeqNum) error
//	func (w *Writer) EstimatedSize() uint64                // bytes so far
//	func (w *Writer) Finish() (Info, error)                // Info{Size, Entries, Smallest, Largest, …}; caller syncs and closes
//
//	type ReaderOptions struct {
//		Comparer *keys.Comparer; Cache *cache.Cache; FileName string
//		FileNum uint64 // 0: do not check; Size int64
//		Mmap bool; VerifyChecksums…
//	}
//	func Open(f vfs.File, o *ReaderOptions) (*Reader, error)
//	func (r *Reader) Get(seek []byte, hash uint32, res *Result) (bool, error)  // newest version of User(seek) at or below its seq
//	      // Result{Kind, Seq, Value}; res.Release() unpins Value
//	func (r *Reader) NewIter(o *IterOptions) *Iterator      // First Last SeekGE SeekLT Next Prev Valid Key Value Err Close; keys are internal keys
//	func (r *Reader) RangeDeletes() …
//	func (r *Reader) Close() error
package table
