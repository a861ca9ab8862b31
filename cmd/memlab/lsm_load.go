package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

// maxLoadLine bounds a line of load's input: the largest key and value in hex.
const maxLoadLine = 2*(lsm.MaxKeyLen+lsm.MaxValueLen) + 1<<10

func runLsmLoad(ctx context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "load", "DIR", `
Applies JSON lines from standard input to the store, which is made if there is
none, and closes it cleanly. A line is {"op":"put","k":"<hex>","v":"<hex>"} or
{"op":"del","k":"<hex>"}; empty lines are skipped. At a bad line it stops: what came
before is applied, nothing behind it.`,
		`echo '{"op":"put","k":"6162","v":"01"}' | memlab lsm load -durability sync /tmp/db`).
		withDurability().withJSON(lsmLoadSchema)
	size := f.fs.Int("batch", 1, "apply `n` lines at a time, all or none of them")
	buffer := f.fs.Int("write-buffer", 0, "`bytes` of a memtable, 0 for the default")
	raw := f.fs.Bool("raw", false, "store blocks without compression")
	operands, code, ok := f.parse(e, args, 1, 1)
	if !ok {
		return code
	}
	wo, err := f.writeOptions()
	if err == nil && *size < 1 {
		err = fmt.Errorf("-batch %d: the least is 1", *size)
	}
	if err != nil {
		return f.usage(e, err)
	}
	l := &loader{size: *size, wo: wo, total: fileSize(e.in), progress: cli.NewProgress(e.err, e.terminal, time.Now)}
	code = f.with(e, operands[0], func(o *lsm.Options) {
		o.WriteBufferSize = *buffer
		if *raw {
			o.Compression = lsm.None
		}
	}, func(d *lsm.DB) error {
		defer l.progress.Done()
		return l.run(ctx, d, e.in)
	})
	if f.json && code == exitOK {
		err := cli.WriteJSON(e.out, struct {
			Schema  string `json:"schema"`
			Dir     string `json:"dir"`
			Applied int64  `json:"applied"`
			Batches int64  `json:"batches"`
		}{lsmLoadSchema, operands[0], l.applied, l.batches})
		if err != nil {
			fmt.Fprintf(e.err, "memlab lsm load: %v\n", err)
			return exitFound
		}
	}
	return code
}

// lsmLoadSchema names the JSON of load.
const lsmLoadSchema = "memlab/lsm-load/v1"

// fileSize returns the size of in if it is a file, 0 if nobody can tell.
func fileSize(in io.Reader) int64 {
	f, ok := in.(*os.File)
	if !ok {
		return 0
	}
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return 0
	}
	return fi.Size()
}

// A loader applies lines in batches.
type loader struct {
	size     int
	wo       *lsm.WriteOptions
	batch    lsm.Batch
	applied  int64 // lines
	batches  int64
	read     int64 // bytes of the input
	total    int64 // bytes that it has, 0: nobody knows
	progress *cli.Progress
	key, val []byte
}

// A loadLine is one line of load's input.
type loadLine struct {
	Op string  `json:"op"`
	K  *string `json:"k"`
	V  *string `json:"v"`
}

func (l *loader) run(ctx context.Context, d *lsm.DB, in io.Reader) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 0, 1<<16), maxLoadLine)
	for n := 1; sc.Scan(); n++ {
		if err := l.line(sc.Bytes()); err != nil {
			return errors.Join(fmt.Errorf("line %d: %w", n, err), l.apply(d))
		}
		if l.batch.Len() >= l.size {
			if err := l.apply(d); err != nil {
				return fmt.Errorf("up to line %d: %w", n, err)
			}
		}
		l.read += int64(len(sc.Bytes())) + 1
		if n%256 == 0 {
			l.step(n)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stopped after line %d: %w", n, errInterrupted)
		}
	}
	if err := sc.Err(); err != nil {
		return errors.Join(fmt.Errorf("after %d lines: %w", l.applied+int64(l.batch.Len()), err), l.apply(d))
	}
	return l.apply(d)
}

// step draws how far the load has come: in bytes of a file, in lines of a pipe.
func (l *loader) step(lines int) {
	if l.total > 0 {
		l.progress.Step(l.read, l.total, fmt.Sprintf("%d lines", lines))
		return
	}
	l.progress.Step(int64(lines), 0, "lines")
}

// apply commits the lines collected so far.
func (l *loader) apply(d *lsm.DB) error {
	if l.batch.Len() == 0 {
		return nil
	}
	if err := d.Apply(&l.batch, l.wo); err != nil {
		return err
	}
	l.applied += int64(l.batch.Len())
	l.batches++
	l.batch.Reset()
	return nil
}

// line adds one line to the batch.
func (l *loader) line(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	var in loadLine
	if err := cli.ReadJSONLine(b, &in); err != nil {
		return err
	}
	var err error
	if l.key, err = loadField(l.key, "k", in.K); err != nil {
		return err
	}
	switch in.Op {
	case "put":
		if l.val, err = loadField(l.val, "v", in.V); err != nil {
			return err
		}
		l.batch.Put(l.key, l.val)
	case "del":
		if in.V != nil {
			return errors.New(`a "del" has no "v"`)
		}
		l.batch.Delete(l.key)
	default:
		return fmt.Errorf("op %q is neither put nor del", in.Op)
	}
	return nil
}

// loadField decodes a hexadecimal field into dst's memory.
func loadField(dst []byte, name string, s *string) ([]byte, error) {
	if s == nil {
		return dst, fmt.Errorf("field %q is missing", name)
	}
	dst, err := hex.AppendDecode(dst[:0], []byte(*s))
	if err != nil {
		return dst, fmt.Errorf("field %q: %w", name, err)
	}
	return dst, nil
}
