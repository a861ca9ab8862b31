// Package corpus holds allocation traces of real programs, so that the
// comparisons of memlab run anywhere without a download. They were recorded
// below the C library's malloc: callocs and aligned allocations are written as
// mallocs, sizes of 0 as 1, and blocks that were live at the end of a recording
// are never freed.
package corpus
