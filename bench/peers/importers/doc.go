// Package importers holds no code: its tests run what memlab offers to other
// projects against those projects themselves. The root module satisfies their
// interfaces by methods alone and does not import them.
//
//   - Apache Arrow Go: arrays built on [alloc.Arrow], with Arrow's own checked
//     allocator watching for leaks;
//   - gRPC: buffers of google.golang.org/grpc/mem from [alloc.GRPCBuffers];
//   - wazero: a linear memory in an [arena.Region].
package importers

import (
	_ "github.com/memlab-go/memlab/alloc" // for the links above
	_ "github.com/memlab-go/memlab/arena"
)
