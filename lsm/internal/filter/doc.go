// Package filter is LevelDB's bloom filter block.
package filter
