package replay

import (
	"slices"
)

// A Raster is the address × time map of a run. Its rows are the pages that the
// run's blocks ever lay in, lowest address first; address space in between that
// was never used is left out, and Gaps says where. Its columns are even pieces
// of the trace.
type Raster struct {
	Rows, Cols int
	RowBytes   int     // bytes of memory that a row stands for
	Share      []uint8 // Rows × Cols: live payload at the end of the column, 0 to 255
	Touched    []bool  // Rows × Cols: whether any block has lain there until then
	Gaps       []int   // rows below which 1 MiB or more of addresses is left out
}

const (
	rasterRows = 512 // at most
	rasterCols = 240 // at most
	gapPages   = (1 << 20) / pageSize
)

// pageList is the pages that blocks lay in, as numbers, ascending.
type pageList []uintptr

// index returns the position of the page with addr.
func (pl pageList) index(addr uintptr) int {
	i, _ := slices.BinarySearch(pl, addr/pageSize)
	return i
}

// touchedPages returns the pages of all moves.
func touchedPages(moves []move) pageList {
	seen := make(map[uintptr]struct{})
	for _, m := range moves {
		for page := m.addr / pageSize; m.live && page <= (m.addr+uintptr(max(m.size, 1))-1)/pageSize; page++ {
			seen[page] = struct{}{}
		}
	}
	out := make(pageList, 0, len(seen))
	for page := range seen {
		out = append(out, page)
	}
	slices.Sort(out)
	return out
}

// newRaster replays the moves of a trace of ops operations over the pages.
func newRaster(pages pageList, moves []move, ops int) *Raster {
	perRow := max((len(pages)+rasterRows-1)/rasterRows, 1)
	r := &Raster{Rows: (len(pages) + perRow - 1) / perRow, Cols: min(rasterCols, max(ops, 1)), RowBytes: perRow * pageSize}
	r.Share, r.Touched = make([]uint8, r.Rows*r.Cols), make([]bool, r.Rows*r.Cols)
	for i := 1; i < len(pages); i++ {
		if row := i / perRow; pages[i]-pages[i-1] > gapPages && (len(r.Gaps) == 0 || r.Gaps[len(r.Gaps)-1] != row) {
			r.Gaps = append(r.Gaps, row)
		}
	}
	live := make([]int, r.Rows)
	touched := make([]bool, r.Rows)
	next := 0
	for col := range r.Cols {
		for end := (col + 1) * ops / r.Cols; next < len(moves) && int(moves[next].op) < end; next++ {
			r.apply(&moves[next], pages, perRow, live, touched)
		}
		for row := range r.Rows {
			at := row*r.Cols + col
			r.Share[at] = uint8(min(live[row]*255/r.RowBytes, 255))
			if live[row] > 0 && r.Share[at] == 0 {
				r.Share[at] = 1
			}
			r.Touched[at] = touched[row]
		}
	}
	return r
}

// apply adds the bytes of one move to the rows it lies in, or takes them away.
func (r *Raster) apply(m *move, pages pageList, perRow int, live []int, touched []bool) {
	for left, addr, i := m.size, m.addr, pages.index(m.addr); left > 0; i++ {
		n := min(left, pageSize-int(addr%pageSize))
		if m.live {
			live[i/perRow] += n
			touched[i/perRow] = true
		} else {
			live[i/perRow] -= n
		}
		addr, left = addr+uintptr(n), left-n
	}
}

// Bytes returns how much memory the rows stand for.
func (r *Raster) Bytes() int64 { return int64(r.Rows) * int64(r.RowBytes) }

// from fills the snapshot from the moves up to its operation.
func (s *Snapshot) from(pages pageList, moves []move) {
	blocks := make(map[uintptr]int)
	for _, m := range moves {
		if int(m.op) >= s.Op {
			break
		}
		if m.live {
			blocks[m.addr] = m.size
		} else {
			delete(blocks, m.addr)
		}
	}
	addrs := make([]uintptr, 0, len(blocks))
	live := make([]int, len(pages))   // payload bytes of each page
	starts := make([]int, len(pages)) // blocks that start in each page
	for addr, size := range blocks {
		addrs = append(addrs, addr)
		starts[pages.index(addr)]++
		for left, at, i := size, addr, pages.index(addr); left > 0; i++ {
			n := min(left, pageSize-int(at%pageSize))
			live[i] += n
			at, left = at+uintptr(n), left-n
		}
	}
	slices.Sort(addrs)
	s.cells(live)
	s.zoom(pages, live, starts, addrs, blocks)
}

// snapshotCells is how many cells a snapshot has at most.
const snapshotCells = 400

func (s *Snapshot) cells(live []int) {
	n := min(snapshotCells, len(live))
	for c := range n {
		lo, hi := c*len(live)/n, (c+1)*len(live)/n
		sum := 0
		for _, b := range live[lo:hi] {
			sum += b
		}
		s.Cells = append(s.Cells, float64(sum)/float64((hi-lo)*pageSize))
	}
}

// zoom picks two neighbouring pages that are half empty and hold many blocks:
// there is most to see. It lists what lies in them.
func (s *Snapshot) zoom(pages pageList, live, starts []int, addrs []uintptr, blocks map[uintptr]int) {
	best, score := -1, -1
	for i := 0; i+1 < len(pages); i++ {
		if pages[i+1] != pages[i]+1 {
			continue
		}
		used := live[i] + live[i+1]
		if sc := min(used, zoomSize-used) * min(starts[i]+starts[i+1], 64); sc > score {
			best, score = i, sc
		}
	}
	if best < 0 {
		return
	}
	lo := pages[best] * pageSize
	hi := lo + zoomSize
	at := lo
	first, _ := slices.BinarySearch(addrs, lo)
	for _, a := range addrs[max(first-1, 0):] {
		end := min(a+uintptr(blocks[a]), hi)
		if a >= hi {
			break
		}
		start := max(a, lo)
		if end <= start {
			continue
		}
		if start > at {
			s.Zoom = append(s.Zoom, Piece{int(at - lo), int(start - at), false})
		}
		s.Zoom = append(s.Zoom, Piece{int(start - lo), int(end - start), true})
		at = end
	}
	if at < hi {
		s.Zoom = append(s.Zoom, Piece{int(at - lo), int(hi - at), false})
	}
}
