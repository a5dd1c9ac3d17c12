//go:build linux

package main

import (
	"fmt"
	"html"
	"strings"
)

// This file is the plot: bars of CPU time for a request, a group for each setup,
// with lines from the first quarter to the third. It takes the colours of whoever
// looks at it, light or dark.

const (
	plotWidth  = 760
	labelWidth = 230
	valueWidth = 70
	barHeight  = 16
	rowHeight  = 22
	headHeight = 34
)

const plotStyle = `
	text { font: 13px system-ui, sans-serif; fill: #1f2328 } .head { font-weight: 600 }
	.bar { fill: #8c959f } .ours { fill: #0969da } .quarters { stroke: #1f2328; stroke-width: 1.5 } .machine { font-size: 11px }
	@media (prefers-color-scheme: dark) {
		text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #58a6ff } .quarters { stroke: #e6edf3 }
	}`

// plot draws the tables that have bars.
func plot(tables []table, machine string) string {
	var rows strings.Builder
	y, most := 0, 0.0
	for _, t := range tables {
		for _, b := range t.bars {
			most = max(most, b.high)
		}
	}
	scale := float64(plotWidth-labelWidth-valueWidth) / most
	for _, t := range tables {
		if len(t.bars) == 0 {
			continue
		}
		fmt.Fprintf(&rows, `<text class="head" x="0" y="%d">%s</text>`+"\n", y+22, html.EscapeString(t.title))
		y += headHeight
		for _, b := range t.bars {
			b.draw(&rows, y, scale)
			y += rowHeight
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t d" viewBox="0 0 %d %d">
<title id="t">CPU time of the server for a request, in microseconds</title>
<desc id="d">The numbers are in results.txt beside this file. %s</desc>
<style>%s
</style>
%s<text class="machine" x="0" y="%d">microseconds of the server's CPU for a request: median, quarters</text>
<text class="machine" x="0" y="%d">%s</text>
</svg>
`, plotWidth, y+46, html.EscapeString(machine), plotStyle, rows.String(), y+20, y+38, html.EscapeString(machine))
}

func (b bar) draw(w *strings.Builder, y int, scale float64) {
	class := "bar"
	if b.name == oursName {
		class = "ours"
	}
	at := func(value float64) float64 { return labelWidth + value*scale }
	middle := y + barHeight/2
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, y+13, html.EscapeString(b.name))
	fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, class, labelWidth, y, b.value*scale, barHeight)
	fmt.Fprintf(w, `<line class="quarters" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, at(b.low), at(b.high), middle, middle)
	fmt.Fprintf(w, `<text x="%.1f" y="%d">%.1f</text>`+"\n", at(b.high)+8, y+13, b.value)
}
