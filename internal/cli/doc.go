// Package cli holds what every memlab command needs and none should write
// twice: flag sets that end with the right exit code, files that appear whole
// or not at all, JSON output, aligned tables, and a progress line that is only
// drawn on a terminal.
package cli
