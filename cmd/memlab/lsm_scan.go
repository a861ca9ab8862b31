package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

func runLsmScan(ctx context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "scan", "DIR [FROM [TO]]", `
Prints the keys from FROM up to, not including, TO with their values, a line each,
separated by a tab. Bytes that do not print are escaped as in Go strings; -hex
writes hexadecimal instead, and -json the lines that dump writes.`,
		"memlab lsm scan -limit 10 /tmp/db user: user;").withHex()
	f.fs.BoolVar(&f.json, "json", false, "write JSON lines, as dump does")
	limit := f.fs.Int("limit", 0, "stop after `n` keys, 0 for no limit")
	reverse := f.fs.Bool("reverse", false, "from the last key to the first")
	operands, code, ok := f.parse(e, args, 1, 3)
	if !ok {
		return code
	}
	bounds, err := f.keys(operands[1:])
	if err == nil && *limit < 0 {
		err = fmt.Errorf("-limit %d: want 0 for no limit, or more", *limit)
	}
	if err != nil {
		return f.usage(e, err)
	}
	o := &lsm.IterOptions{}
	if len(bounds) > 0 {
		o.LowerBound = bounds[0]
	}
	if len(bounds) > 1 {
		o.UpperBound = bounds[1]
	}
	format := "%q\t%q\n"
	switch {
	case f.json:
		format = "{\"k\":\"%x\",\"v\":\"%x\"}\n"
	case f.hex:
		format = "%x\t%x\n"
	}
	n := 0
	return f.with(e, operands[0], readOnly, func(d *lsm.DB) error {
		return walk(ctx, e.out, d, o, *reverse, func(w io.Writer, k, v []byte) (bool, error) {
			n++
			_, err := fmt.Fprintf(w, format, k, v)
			return *limit == 0 || n < *limit, err
		})
	})
}

// walk calls each for every key within the bounds, until it returns false.
func walk(ctx context.Context, out io.Writer, d *lsm.DB, o *lsm.IterOptions, reverse bool,
	each func(w io.Writer, k, v []byte) (bool, error)) error {
	it, err := d.NewIter(o)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 1<<16)
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok && err == nil; ok = ok && next() {
		ok, err = each(w, it.Key(), it.Value())
		if err == nil {
			err = ctx.Err()
		}
	}
	return errors.Join(err, it.Close(), w.Flush())
}

func runLsmDump(ctx context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "dump", "DIR", `
Writes every key and value as a JSON line {"k":"<hex>","v":"<hex>"}, in key order.
The store is opened read-only: nothing in DIR changes. With an op before the key the
lines are what load reads.`,
		`memlab lsm dump /tmp/db > all.jsonl
sed 's/^{/{"op":"put",/' all.jsonl | memlab lsm load -batch 1000 /tmp/copy`)
	operands, code, ok := f.parse(e, args, 1, 1)
	if !ok {
		return code
	}
	progress := cli.NewProgress(e.err, e.terminal, time.Now)
	defer progress.Done()
	n := int64(0)
	var line []byte
	return f.with(e, operands[0], readOnly, func(d *lsm.DB) error {
		return walk(ctx, e.out, d, nil, false, func(w io.Writer, k, v []byte) (bool, error) {
			if n++; n%100_000 == 0 {
				progress.Step(n, 0, "keys")
			}
			line = append(line[:0], `{"k":"`...)
			line = hex.AppendEncode(line, k)
			line = append(line, `","v":"`...)
			line = hex.AppendEncode(line, v)
			line = append(line, '"', '}', '\n')
			_, err := w.Write(line)
			return true, err
		})
	})
}
