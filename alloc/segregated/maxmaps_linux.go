package segregated

import (
	"os"
	"strconv"
	"strings"
)

// maxMappings returns how many entries the system's map table has for a process.
func maxMappings() int {
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n > 0 {
			return n
		}
	}
	return 65530 // the kernel's default
}
