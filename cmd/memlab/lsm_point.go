package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/lsm"
)

// lsmGetSchema names the JSON of get.
const lsmGetSchema = "memlab/lsm-get/v1"

func runLsmPut(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "put", "DIR KEY VALUE", "Stores VALUE under KEY. The store is made if there is none.",
		"memlab lsm put /tmp/db greeting hello").withHex().withDurability()
	operands, code, ok := f.parse(e, args, 3, 3)
	if !ok {
		return code
	}
	kv, err := f.keys(operands[1:])
	if err != nil {
		return f.usage(e, err)
	}
	wo, err := f.writeOptions()
	if err != nil {
		return f.usage(e, err)
	}
	return f.with(e, operands[0], nil, func(d *lsm.DB) error {
		var b lsm.Batch
		b.Put(kv[0], kv[1])
		return d.Apply(&b, wo)
	})
}

func runLsmGet(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "get", "DIR KEY", "Prints the value of KEY and a newline. A key without a value is exit code 1.",
		"memlab lsm get /tmp/db greeting").withHex().withJSON(lsmGetSchema)
	operands, code, ok := f.parse(e, args, 2, 2)
	if !ok {
		return code
	}
	key, err := f.key(operands[1])
	if err != nil {
		return f.usage(e, err)
	}
	return f.with(e, operands[0], readOnly, func(d *lsm.DB) error {
		v, err := d.Get(key)
		if errors.Is(err, lsm.ErrNotFound) {
			return fmt.Errorf("key %q: %w", operands[1], err)
		}
		if err != nil {
			return err
		}
		if f.json {
			return cli.WriteJSON(e.out, struct {
				Schema string `json:"schema"`
				K      string `json:"k"`
				V      string `json:"v"`
			}{lsmGetSchema, hex.EncodeToString(key), hex.EncodeToString(v)})
		}
		if f.hex {
			v = []byte(hex.EncodeToString(v))
		}
		_, err = fmt.Fprintf(e.out, "%s\n", v)
		return err
	})
}

func runLsmDelete(_ context.Context, e *env, args []string) int {
	f := newLsmFlags(e, "delete", "DIR KEY…", `
Removes each KEY, whether it has a value or not, all in one batch. With -range it
removes every key from the first KEY up to, not including, the second; LevelDB's
own tools do not see such a deletion before the store is compacted.`,
		"memlab lsm delete /tmp/db greeting\nmemlab lsm delete -range /tmp/db a b").withHex().withDurability()
	isRange := f.fs.Bool("range", false, "the two KEYs bound the range to remove")
	operands, code, ok := f.parse(e, args, 2, -1)
	if !ok {
		return code
	}
	keys, err := f.keys(operands[1:])
	switch {
	case err != nil || !*isRange:
	case len(keys) != 2:
		err = fmt.Errorf("-range takes two keys, not %d", len(keys))
	case bytes.Compare(keys[0], keys[1]) > 0:
		err = fmt.Errorf("-range from %q to %q ends before it starts", operands[1], operands[2])
	}
	if err != nil {
		return f.usage(e, err)
	}
	wo, err := f.writeOptions()
	if err != nil {
		return f.usage(e, err)
	}
	return f.with(e, operands[0], mustExist, func(d *lsm.DB) error {
		var b lsm.Batch
		if *isRange {
			b.DeleteRange(keys[0], keys[1])
		} else {
			for _, k := range keys {
				b.Delete(k)
			}
		}
		return d.Apply(&b, wo)
	})
}
