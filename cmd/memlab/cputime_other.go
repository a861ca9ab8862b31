//go:build !unix

package main

import "time"

// cpuTime returns the time of day, where the processor time cannot be had: a
// measurement's patience then depends on what else the machine is doing.
func cpuTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
