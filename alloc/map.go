package alloc

import (
	"fmt"
	"slices"
	"strings"
)

// markSize is the smallest number of bytes that one mark of a map stands for.
const markSize = 16

// Map draws w's heap as one line of at most about width marks, in address
// order, with a legend:
//
//	|##|.......|###|....................|  used 2  free 2  largest 0x140  (one mark: 16 bytes)
//
// A used block is drawn with '#', a free one with '.', a bar stands between
// blocks. One mark is a power of two of bytes, 16 or more unless the heap is
// tiny, and every block gets at least one. Where there are too many blocks for
// that the bars go and each mark is a stretch of memory, drawn by how much of it
// is used: ' ' nothing there, '.' free, '-' up to a half, '+' more, '#' all.
//
// "largest" is the largest free block in bytes. A width below 16 counts as 16.
// O(blocks + width).
func Map(w Walker, width int) string {
	return MapLabel(w, width, func(b Block) rune {
		if b.Used {
			return '#'
		}
		return '.'
	})
}

// MapLabel is [Map] with a mark of the caller's choice for each block. The
// marks are not used where there are too many blocks to draw one by one.
func MapLabel(w Walker, width int, label func(Block) rune) string {
	width = max(width, 16)
	blocks := slices.Collect(w.Blocks())
	var used, free, largest, total int
	for _, b := range blocks {
		total += b.Size
		if b.Used {
			used++
			continue
		}
		free++
		largest = max(largest, b.Size)
	}
	unit := markUnit(total, width)
	var line string
	if bars := drawBlocks(blocks, unit, label); len(bars) <= 2*width {
		line = string(bars)
	} else {
		line = drawDensity(blocks, width, &unit)
	}
	return fmt.Sprintf("%s  used %d  free %d  largest %#x  (one mark: %d %s)",
		line, used, free, largest, unit, plural(unit, "byte"))
}

// markUnit is the smallest power of two, from markSize up (from 1 in a heap of a
// few dozen bytes), that lets total bytes fit into width marks.
func markUnit(total, width int) int {
	unit := markSize
	if total < 8*markSize {
		unit = 1
	}
	for total/unit > width {
		unit *= 2
	}
	return unit
}

// drawBlocks draws each block as its marks, rounded up, between bars.
func drawBlocks(blocks []Block, unit int, label func(Block) rune) []rune {
	line := []rune{'|'}
	for _, b := range blocks {
		marks := max(1, (b.Size+unit-1)/unit)
		r := label(b)
		for range marks {
			line = append(line, r)
		}
		line = append(line, '|')
	}
	return line
}

// drawDensity draws width stretches of address space by the share of their
// bytes that is used. It doubles *unit until everything fits.
func drawDensity(blocks []Block, width int, unit *int) string {
	base := blocks[0].Off
	last := blocks[len(blocks)-1]
	extent := int(last.Off-base) + last.Size
	*unit = markUnit(extent, width)
	marks := (extent + *unit - 1) / *unit
	usedIn, freeIn := make([]int, marks), make([]int, marks)
	for _, b := range blocks {
		in := freeIn
		if b.Used {
			in = usedIn
		}
		for at, end := int(b.Off-base), int(b.Off-base)+b.Size; at < end; {
			i := at / *unit
			n := min(end, (i+1)**unit) - at
			in[i] += n
			at += n
		}
	}
	var sb strings.Builder
	sb.WriteByte('|')
	for i := range marks {
		sb.WriteByte(densityMark(usedIn[i], freeIn[i]))
	}
	sb.WriteByte('|')
	return sb.String()
}

func densityMark(used, free int) byte {
	switch {
	case used+free == 0:
		return ' '
	case used == 0:
		return '.'
	case free == 0:
		return '#'
	case used <= free:
		return '-'
	default:
		return '+'
	}
}

// plural adds an s to word unless n is 1.
func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
