// Package chart draws the pictures of memlab's reports: self-contained HTML
// pages with inline SVG that load nothing, read well on light, dark and paper,
// and carry the numbers behind each picture as a table.
//
// The parts: [Page] is a document of [Part]s; [Figure] is one titled chart with
// its caption and table, [Grid] several beside each other on the same scale
// (small multiples). The charts are [Lines], [Bars], [Heat] and [Strip].
// [Canvas] is what they draw on, and what a chart of your own draws on.
//
// A page, step by step:
//
//  1. A command fills a Page with Parts: Heading, Text, Table, Figure, Grid.
//  2. WriteTo writes the head, whose style sheet defines every colour as a
//     variable, once for light and once for dark, and then the parts in order.
//  3. A Figure draws its chart on a Canvas. Colours are classes, never values,
//     so that the reader's preference decides. The SVG names itself by its
//     title and description, and its data follow in a closed details element.
//
// All text is escaped on its way out: labels may come from hostile files. The
// output is well-formed XML, which tests use to prove it. Nothing is safe for
// concurrent use.
package chart
