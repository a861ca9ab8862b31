// Package record reads and writes LevelDB's log format, which the write-ahead
// log and the MANIFEST share (LevelDB, doc/log_format.md).
//
// A file is a sequence of blocks of 32 KiB. A record is cut into chunks, none
// of which crosses a block; a block's last bytes are zero when fewer than seven
// are left. All integers are little-endian.
//
//	off  0        4      6    7              7+len
//	     ├────────┼──────┼────┼──────────────┤
//	     │ crc u32│len   │type│ payload …    │
//	     │        │ u16  │    │              │
//	     └────────┴──────┴────┴──────────────┘
//
// type is 1 FULL, 2 FIRST, 3 MIDDLE, 4 LAST. crc is the CRC-32C of type and
// payload, rotated right by 15 bits plus 0xa282ead8, so that a CRC over bytes
// that hold CRCs stays strong.
//
// One record written, step by step:
//
//  1. [Writer.Append] pads the block when fewer than 7 bytes are left in it.
//  2. It puts a chunk header and as much payload as the block takes into the
//     buffer, and goes on in the next block until all is there.
//  3. [Writer.Flush] hands the buffer to the file in one write.
//
// A [Reader] tells apart how a file can end: cleanly; in a torn tail (the last
// write did not finish: cut, zeros, garbage, with nothing valid behind it); or
// it finds damage in the middle, with valid chunks behind it. Policy (refuse,
// cut, skip) is the caller's: see [Error] and [Reader.Skip].
//
// Caveats: a torn record whose own payload contains a valid chunk (a log stored
// as a value) is reported as damage in the middle. That errs on the side of
// refusing. A record that was written whole, has an aligned sector of zeros in its
// payload and is damaged in more than one bit cannot be told from one with a sector
// that never reached the disk: [Error.Hole] is set.
//
// Writers and Readers are not safe for concurrent use.
package record
