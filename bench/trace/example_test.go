package trace_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/memlab-go/memlab/bench/trace"
)

const small = "100\n2\n3\n1\na 0 16\nr 0 32\nf 0\n"

func ExampleRead() {
	t, err := trace.Read(strings.NewReader(small), "small.rep", nil)
	fmt.Println(t.Name, len(t.Ops), t.PeakLive(), err)
	_, err = trace.Read(strings.NewReader("100\n2\n3\n1\na 0 0x10\n"), "bad.rep", nil)
	fmt.Println(err)
	// Output:
	// small 3 32 <nil>
	// bad.rep: line 5: col 5: bad size "0x10"
}

func ExampleRepReader() {
	r, err := trace.NewRepReader(strings.NewReader(small), "small.rep", nil)
	for err == nil {
		var o trace.Op
		if o, err = r.Next(); err == nil {
			fmt.Println(o.Kind, o.ID, o.Bytes())
		}
	}
	fmt.Println(err)
	// Output:
	// a 0 16
	// r 0 32
	// f 0 0
	// EOF
}

func ExampleWriteRep() {
	t := &trace.Trace{IDs: 1, Ops: []trace.Op{{Kind: trace.Calloc, Count: 3, Size: 8}, {Kind: trace.Free}}}
	trace.WriteRep(os.Stdout, t)
	// Output:
	// 24
	// 1
	// 2
	// 1
	// c 0 3 8
	// f 0
}

func ExampleGenerate() {
	t, err := trace.Generate("coalescing", 1, 12)
	fmt.Println(len(t.Ops), t.PeakLive(), t.Ops[:2], err)
	// Output: 12 8190 [{a 0 0 4095} {a 1 0 4095}] <nil>
}

func ExampleTrace_Head() {
	t, _ := trace.Generate("larson", 1, 5000)
	fmt.Println(t.Head(100).Label())
	// Output: larson (first 100 of 5000 ops)
}
