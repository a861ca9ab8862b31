package trace_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/memlab-go/memlab/bench/trace"
)

func ExampleNewRefReader() {
	text := "==7== Lackey, an example Valgrind tool\nI  0401ab70,3\n S 1fff000638,8\n"
	r, err := trace.NewRefReader(strings.NewReader(text), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	refs := make([]trace.Ref, 64)
	for {
		n, err := r.ReadRefs(refs)
		for _, ref := range refs[:n] {
			fmt.Printf("%c page %#x, %d bytes\n", ref.Kind.Letter(), ref.Addr>>12, ref.Size)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			break
		}
	}
	// Output:
	// I page 0x401a, 3 bytes
	// S page 0x1fff000, 8 bytes
}

func ExampleParseGenerator() {
	g, err := trace.ParseGenerator("loop:n=5,pages=3,writes=0")
	if err != nil {
		fmt.Println(err)
		return
	}
	refs := make([]trace.Ref, 8)
	n, _ := g.ReadRefs(refs)
	for _, ref := range refs[:n] {
		fmt.Print(ref.Addr>>12, " ")
	}
	// Output: 0 1 2 0 1
}
