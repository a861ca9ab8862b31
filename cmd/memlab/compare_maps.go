package main

import (
	"fmt"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/internal/chart"
	"github.com/memlab-go/memlab/internal/cli"
)

// mapRows is the height in cells of an address × time map.
const mapRows = 96

// addressMaps is where the blocks lay over time, for each allocator.
func addressMaps(shots []shot) chart.Grid {
	g := chart.Grid{
		Title:   "Where the blocks lie: addresses over time",
		Caption: "Upwards the pages of memory that blocks ever lay in, lowest address first; to the right the operations of the trace. Blue is live payload, the darker or brighter the fuller; the warm tone is memory that was used before and holds nothing now. A dashed line marks addresses that were left out because nothing ever lay there.",
		Legend:  []chart.Key{{Class: "h1", Text: "used before, empty now"}, {Class: "h2", Text: "up to 20 % live"}, {Class: "h4", Text: "40 to 60 %"}, {Class: "h6", Text: "above 80 %"}},
	}
	top := commonTop(shots, func(s shot) float64 { return float64(s.film.Raster.Bytes()) })
	for i, s := range shots {
		g.Figures = append(g.Figures, chart.Figure{Title: s.cell.entry.Name, Caption: scaleNote(top, i), Chart: heatOf(s.film.Raster, top[i], s.cell.result.Ops)})
	}
	return g
}

// heatOf draws a raster on a scale that ends at top bytes.
func heatOf(r *replay.Raster, top float64, ops int) *chart.Heat {
	h := &chart.Heat{
		X: chart.Axis{Label: "operations"}, Y: chart.Axis{Unit: chart.Bytes}, XMax: float64(ops), YMax: top,
		Rows: chart.Table{Head: []string{"operations", "pages ever used (bytes)", "of them empty now %", "live payload in the pages %"}},
	}
	perCell := top / mapRows / float64(r.RowBytes) // rows of the raster
	for row := range mapRows {
		lo, hi := int(float64(row)*perCell), int(float64(row+1)*perCell)
		h.Cells = append(h.Cells, levels(r, lo, max(hi, lo+1)))
	}
	const mostGaps = 12
	for i, gap := range r.Gaps {
		if i == mostGaps {
			break
		}
		h.Breaks = append(h.Breaks, float64(gap)/perCell)
	}
	for col := 0; col < r.Cols; col += max(r.Cols/24, 1) {
		h.Rows.Rows = append(h.Rows.Rows, columnNumbers(r, col, ops))
	}
	return h
}

// levels joins rows lo to hi of r into one line of heat levels.
func levels(r *replay.Raster, lo, hi int) []uint8 {
	out := make([]uint8, r.Cols)
	hi = min(hi, r.Rows)
	for col := range r.Cols {
		sum, touched := 0, false
		for row := lo; row < hi; row++ {
			sum += int(r.Share[row*r.Cols+col])
			touched = touched || r.Touched[row*r.Cols+col]
		}
		if touched {
			out[col] = chart.HeatOf(float64(sum) / 255 / float64(hi-lo))
		}
	}
	return out
}

// columnNumbers is what the table behind a map says of one moment.
func columnNumbers(r *replay.Raster, col, ops int) []string {
	touched, empty, sum := 0, 0, 0
	for row := range r.Rows {
		at := row*r.Cols + col
		if r.Touched[at] {
			touched++
			sum += int(r.Share[at])
			if r.Share[at] == 0 {
				empty++
			}
		}
	}
	n := float64(max(touched, 1))
	return []string{fmt.Sprint((col + 1) * ops / r.Cols), fmt.Sprint(touched * r.RowBytes),
		fmt.Sprintf("%.1f", 100*float64(empty)/n), fmt.Sprintf("%.1f", 100*float64(sum)/255/n)}
}

// peakStrip is the whole heap of each allocator at the peak.
func peakStrip(shots []shot) chart.Figure {
	s := &chart.Strip{Unit: chart.Percent, End: 1}
	for _, x := range shots {
		band := chart.Band{Label: x.cell.entry.Name}
		n := float64(len(x.film.Peak.Cells))
		for i, share := range x.film.Peak.Cells {
			class := fmt.Sprintf("h%d", chart.HeatOf(share))
			if k := len(band.Spans) - 1; k >= 0 && band.Spans[k].Class == class {
				band.Spans[k].End = float64(i+1) / n
				continue
			}
			band.Spans = append(band.Spans, chart.Span{Start: float64(i) / n, End: float64(i+1) / n, Class: class})
		}
		s.Bands = append(s.Bands, band)
	}
	return chart.Figure{
		Title:   "The heap at the peak, end to end",
		Caption: "One band an allocator: every page that it ever used, lowest address on the left, at the moment when most payload is live. Blue is how full a piece is; the warm tone is empty. The bands are stretched to one width, whatever their size.",
		Chart:   s,
	}
}

// zoomStrip is 8 KiB of each heap at the peak, block by block.
func zoomStrip(shots []shot) chart.Figure {
	s := &chart.Strip{Unit: chart.Bytes}
	for _, x := range shots {
		band := chart.Band{Label: x.cell.entry.Name}
		for i, p := range x.film.Peak.Zoom {
			sp := chart.Span{Start: float64(p.Off), End: float64(p.Off + p.Size), Class: "free", Tip: fmt.Sprintf("%s without payload", cli.Bytes(int64(p.Size)))}
			if p.Used {
				sp.Class, sp.Tip = fmt.Sprintf("used%d", i/2%2), fmt.Sprintf("payload of %s", cli.Bytes(int64(p.Size)))
			}
			band.Spans = append(band.Spans, sp)
			s.End = max(s.End, sp.End)
		}
		s.Bands = append(s.Bands, band)
	}
	return chart.Figure{
		Title:   "Two pages at the peak, block by block",
		Caption: "The two neighbouring pages of each heap in which most is going on. Blue is payload, neighbours in two shades; the warm tone is everything else: free blocks, headers, rounding.",
		Chart:   s,
	}
}
