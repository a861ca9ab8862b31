package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// elements parses html as XML, which every page must be, and returns how often
// each element occurs.
func elements(t testing.TB, html string) map[string]int {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>")))
	n := map[string]int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			n[e.Name.Local]++
		}
	}
}

// samplePage has one of everything, with text as given.
func samplePage(text string, v float64) *Page {
	lines := &Lines{X: Axis{Label: text}, Y: Axis{Label: text, Unit: Bytes}, Series: []Series{
		{text, []float64{0, 1, 2, 3}, []float64{1, 2, v, 4}},
		{"b", []float64{0, 1, 2, 3}, []float64{3, math.NaN(), 1, 4}},
	}}
	logLines := &Lines{X: Axis{Log: true}, Y: Axis{Log: true}, Step: true, Series: []Series{{text, []float64{0, 1, 100, v}, []float64{v, 1, 10, 1e6}}}}
	bars := &Bars{X: Axis{Label: text}, Y: Axis{Log: true}, Labels: []string{text, "y"}, Names: []string{text}, Values: [][]float64{{1, v}, {2}}}
	heat := &Heat{X: Axis{Label: text}, Y: Axis{Unit: Bytes}, XMax: v, YMax: 4096, Breaks: []float64{1},
		Cells: [][]uint8{{0, 1, 2, 3}, {4, 5, 6, 200}}, Rows: Table{Head: []string{text}, Rows: [][]string{{text}}}}
	strip := &Strip{End: 100, Unit: Bytes, Bands: []Band{{Label: text, Spans: []Span{{0, 50, "used0", text}, {50, v, "free", ""}}}}}
	return &Page{Title: text, Lead: text, Parts: []Part{
		Heading(text), Text(text), Table{Caption: text, Head: []string{text, "b"}, Rows: [][]string{{text, "2"}}, Best: []int{1}},
		Figure{text, text, lines}, Figure{"log", text, logLines}, Figure{"bars", text, bars},
		Grid{text, text, []Key{{"h1", text}}, []Figure{{"heat", text, heat}, {"strip", text, strip}}},
	}}
}

func render(t testing.TB, p *Page) string {
	t.Helper()
	var sb strings.Builder
	_, err := p.WriteTo(&sb)
	require.NoError(t, err)
	return sb.String()
}

func TestPageIsWellFormedAndHasATableBehindEachChart(t *testing.T) {
	n := elements(t, render(t, samplePage("plain", 3)))
	require.Equal(t, 5, n["figure"])
	require.Equal(t, 5, n["details"])
	require.Equal(t, 6, n["svg"], "five charts and a legend key")
	require.Equal(t, 5, n["desc"])
	require.Zero(t, n["script"])
}

// remote matches what could make a browser load something.
var remote = regexp.MustCompile(`(?i)(src|href|action|srcset|poster|data)\s*=|url\(|@import|<(script|link|iframe|object|embed|img|image|use)\b`)

func TestPageLoadsNothing(t *testing.T) {
	html := render(t, samplePage("plain", 3))
	require.Empty(t, remote.FindAllString(html, -1))
	require.Contains(t, html, "default-src 'none'")
	html = strings.ReplaceAll(html, `xmlns="http://www.w3.org/2000/svg"`, "")
	require.NotContains(t, html, "://")
}

func TestPageEscapesLabels(t *testing.T) {
	evil := `</title><script>alert("1")</script><img src='x' onerror=alert(1)>&`
	plain, hostile := elements(t, render(t, samplePage("plain", 3))), elements(t, render(t, samplePage(evil, 3)))
	require.Equal(t, plain, hostile, "a label added elements")
}

func TestPageSurvivesBadNumbers(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, 1e308, -1e308, 5e-324} {
		html := render(t, samplePage("x", v))
		elements(t, html)
		require.NotRegexp(t, `"(NaN|[-+]?Inf)`, html)
	}
}

func TestStyleHasBothSchemes(t *testing.T) {
	require.Contains(t, style, "prefers-color-scheme:dark")
	defined := regexp.MustCompile(`(--[a-z0-9]+):`).FindAllStringSubmatch(style, -1)
	count := map[string]int{}
	for _, d := range defined {
		count[d[1]]++
	}
	for _, use := range regexp.MustCompile(`var\((--[a-z0-9]+)\)`).FindAllStringSubmatch(style, -1) {
		require.GreaterOrEqual(t, count[use[1]], 2, "%s is not defined for light and dark", use[1])
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis   Axis
		lo, hi float64
		want   []float64
	}{
		{Axis{}, 0, 97, []float64{0, 20, 40, 60, 80, 100}},
		{Axis{}, 0, 0, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{Axis{Unit: Bytes}, 0, 9 << 20, []float64{0, 2 << 20, 4 << 20, 6 << 20, 8 << 20, 10 << 20}},
		{Axis{Log: true}, 1, 1e4, []float64{1, 10, 100, 1e3, 1e4}},
		{Axis{Log: true}, 3, 40, []float64{5, 10, 20}},
	} {
		s := c.axis.fit(c.lo, c.hi)
		require.Len(t, s.ticks, len(c.want), "%+v", s.ticks)
		for i := range c.want {
			require.InDelta(t, c.want[i], s.ticks[i], 1e-9+c.want[i]*1e-9)
		}
	}
}

func TestUnits(t *testing.T) {
	require.Equal(t, "1.5 MiB", Bytes.Format(1.5*(1<<20)))
	require.Equal(t, "512 B", Bytes.Format(512))
	require.Equal(t, "37.5 %", Percent.Format(0.375))
	require.Equal(t, "938 k", Plain.Format(938000))
	require.Equal(t, "0", Plain.Format(0))
}

func TestHeatOf(t *testing.T) {
	require.EqualValues(t, HeatHole, HeatOf(0))
	require.EqualValues(t, HeatLow, HeatOf(0.01))
	require.EqualValues(t, HeatFull, HeatOf(1))
	require.EqualValues(t, HeatFull, HeatOf(7))
	require.EqualValues(t, HeatHole, HeatOf(math.NaN()))
}

func TestNamesDoNotOverlap(t *testing.T) {
	l := &Lines{Series: []Series{{"a", []float64{0, 1}, []float64{0, 5}}, {"b", []float64{0, 1}, []float64{0, 5.01}}, {"c", []float64{0, 1}, []float64{0, 5.02}}}}
	c := Canvas{W: 720, H: 300}
	l.Draw(&c)
	var ys []float64
	for _, m := range regexp.MustCompile(`<text class="name t\d" x="[\d.]+" y="([\d.]+)"`).FindAllStringSubmatch(c.sb.String(), -1) {
		var y float64
		require.NoError(t, xml.Unmarshal([]byte("<y>"+m[1]+"</y>"), &y))
		ys = append(ys, y)
	}
	require.Len(t, ys, 3)
	require.GreaterOrEqual(t, ys[1]-ys[0], 13.9)
	require.GreaterOrEqual(t, ys[2]-ys[1], 13.9)
}

// FuzzPage feeds a label and a number into every place of a page: the page must
// stay well-formed and have no more elements than with a harmless label.
func FuzzPage(f *testing.F) {
	f.Add("plain", 1.0)
	f.Add(`"><script>`, math.Inf(1))
	f.Add("\x00\xff]]>&amp;<!--", math.Copysign(0, -1))
	want := elements(f, render(f, samplePage("plain", 3)))
	f.Fuzz(func(t *testing.T, label string, v float64) {
		got := elements(t, render(t, samplePage(label, v)))
		for _, name := range []string{"script", "img", "figure", "table", "p", "h2", "a"} {
			if got[name] > want[name] {
				t.Fatalf("label %q added a <%s>", label, name)
			}
		}
	})
}

func ExamplePage() {
	p := Page{Title: "Squares", Parts: []Part{
		Figure{"n²", "How n² grows.", &Lines{Series: []Series{{"n²", []float64{0, 1, 2}, []float64{0, 1, 4}}}}},
	}}
	var sb strings.Builder
	p.WriteTo(&sb)
	io.WriteString(os.Stdout, sb.String()[:15])
	// Output: <!DOCTYPE html>
}

func TestDotNamesDoNotOverlap(t *testing.T) {
	var taken []box
	for i := range 12 {
		x, y := 300+float64(i%3)*8, 100+float64(i%4)*3
		taken = append(taken, box{x - 6, x + 6, y + 6, y - 6})
		b := place(x, y, 60, 700, taken)
		for k, o := range taken {
			require.False(t, b.meets(o), "name %d covers %d", i, k)
		}
		taken = append(taken, b)
	}
}

// TestSeriesLookDifferent: the policies of memlab page -policy all, and the
// allocators of memlab compare in their colours alone, can be told apart.
func TestSeriesLookDifferent(t *testing.T) {
	for _, kind := range []string{"s", "f"} {
		seen := map[string]int{}
		for i := range 22 {
			class := seriesClass(kind, i)
			rule := regexp.MustCompile(`(?:^|[}\n])\.` + class + `\{([^}]*)\}`).FindStringSubmatch(style)
			require.NotNil(t, rule, "no rule for .%s", class)
			require.NotContains(t, seen, rule[1], ".%s looks like series %d", class, seen[rule[1]])
			seen[rule[1]] = i
		}
	}
	for theme, sheet := range strings.SplitN(style, "@media (prefers-color-scheme:dark)", 2) {
		seen := map[string]bool{}
		for i := range palette {
			colour := regexp.MustCompile(`--c` + strconv.Itoa(i) + `:(#[0-9a-f]{6});`).FindStringSubmatch(sheet)
			require.NotNil(t, colour, "theme %d: no colour %d", theme, i)
			require.False(t, seen[colour[1]], "theme %d: colour %d", theme, i)
			seen[colour[1]] = true
			require.Contains(t, style, "svg .t"+strconv.Itoa(i)+"{")
		}
	}
	b := &Bars{Labels: []string{"x"}, Legend: true}
	for range 22 {
		b.Names, b.Values = append(b.Names, "n"), append(b.Values, []float64{1})
	}
	html := render(t, &Page{Parts: []Part{Figure{Chart: b}}})
	for i := range 22 {
		require.Equal(t, 2, strings.Count(html, `class="`+seriesClass("f", i)+`"`), "a bar and a key of series %d", i)
	}
}
