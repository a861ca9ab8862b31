package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// progressEvery is the least time between two drawings of a progress line:
// often enough to look alive, rarely enough to cost nothing.
const progressEvery = 100 * time.Millisecond

// A Progress draws one line that says how far a long command has come, and
// rewrites it in place. A nil Progress draws nothing, which is what NewProgress
// returns when there is no terminal. It is not safe for concurrent use.
type Progress struct {
	w     io.Writer
	now   func() time.Time
	start time.Time
	last  time.Time
	width int // runes on the line now
}

// NewProgress returns a progress line on w, or nil if terminal is false. The
// clock now is [time.Now] outside tests.
func NewProgress(w io.Writer, terminal bool, now func() time.Time) *Progress {
	if !terminal {
		return nil
	}
	return &Progress{w: w, now: now, start: now()}
}

// Step shows that done of total units are finished, and what is being worked
// on. Calls that come too fast are dropped; total 0 means unknown.
func (p *Progress) Step(done, total int64, what string) {
	if p == nil {
		return
	}
	t := p.now()
	if t.Sub(p.last) < progressEvery && (done < total || total <= 0) {
		return
	}
	p.last = t
	p.draw(line(done, total, what, t.Sub(p.start)))
}

// Done removes the line, so that results follow on a clean one.
func (p *Progress) Done() {
	if p == nil || p.width == 0 {
		return
	}
	fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
	p.width = 0
}

func (p *Progress) draw(s string) {
	n := utf8.RuneCountInString(s)
	fmt.Fprintf(p.w, "\r%s%s", s, strings.Repeat(" ", max(p.width-n, 0)))
	p.width = n
}

// line is what Step draws: a bar, the share done, the time gone and, once a
// tenth is done, an estimate of the time left.
func line(done, total int64, what string, gone time.Duration) string {
	const barWidth, longest = 20, 40
	if r := []rune(what); len(r) > longest {
		what = string(r[:longest-1]) + "…"
	}
	secs := gone.Round(time.Second)
	if total <= 0 {
		return fmt.Sprintf("%d  %v  %s", done, secs, what)
	}
	done = min(max(done, 0), total)
	full := int(done * barWidth / total)
	s := fmt.Sprintf("[%s%s] %3d%%  %v", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/total, secs)
	if done*10 >= total && done < total {
		left := time.Duration(float64(gone) * float64(total-done) / float64(done))
		s += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return s + "  " + what
}
