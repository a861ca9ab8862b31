package lsm

import (
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A walWriter is the log that is being written. Only the commit leader uses it.
type walWriter struct {
	num  uint64
	name string
	f    vfs.File
	rec  *record.Writer
	buf  []byte // of the store's log region, shared by one log after the other
}

// A walMark is a place in a log to come back to.
type walMark int64

// createLog makes a new, empty log whose name is durable.
func (d *DB) createLog(num uint64) (*walWriter, error) {
	w := &walWriter{num: num, name: filename.MakeLog(num), buf: d.logBuf}
	f, err := d.dir.Create(w.name)
	if err != nil {
		return nil, err
	}
	if err := d.dir.Sync(); err != nil {
		return nil, d.latch(joinClose(err, f))
	}
	d.addLog(num)
	w.f, w.rec = f, record.NewWriter(f, w.buf, 0)
	return w, nil
}

func (w *walWriter) mark() walMark           { return walMark(w.rec.Size()) }
func (w *walWriter) append(rep []byte) error { return w.rec.Append(rep) }
func (w *walWriter) flush() error            { return w.rec.Flush() }
func (w *walWriter) sync() error             { return w.f.Sync() }

// rewind takes back everything behind mark: from the buffer if it is still there,
// and from the file, whose end may be half a record.
func (w *walWriter) rewind(m walMark) error {
	if err := w.f.Truncate(min(int64(m), w.rec.Written())); err != nil {
		return err
	}
	return w.rec.Rewind(int64(m))
}

// size returns the bytes of the log, buffered ones included.
func (w *walWriter) size() int64 { return w.rec.Size() }

// close writes out the buffer and closes the file.
func (w *walWriter) close() error {
	return joinClose(w.rec.Flush(), w.f)
}
