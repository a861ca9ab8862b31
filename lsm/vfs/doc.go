// Package vfs is the file system as the store uses it, behind a small
// interface, so that tests can crash it and make any call fail.
//
//   - [OS] is the real one. Every access goes through an [os.Root], so no name
//     leads out of the directory.
//   - [Mem] lives in memory and knows which bytes and which directory entries
//     were synced; [Mem.CrashClone] is what a power failure leaves behind.
//   - [Injector] wraps either and makes chosen calls fail.
//
// One operation: how the store makes a file durable.
//
//  1. [Dir.Create] makes the file; the entry is not durable yet.
//  2. [File.Write] appends bytes; they are in the page cache.
//  3. [File.Sync] makes the bytes durable.
//  4. [Dir.Sync] makes the entry durable: without it a crash may lose the file
//     although its bytes were synced.
//
// Names are slash-separated and local, as [io/fs.ValidPath] has them, without
// "." alone: absolute names, "..", backslashes on Windows and NUL are refused
// with [io/fs.ErrInvalid].
//
// All types are safe for concurrent use, except that one File is written by one
// goroutine at a time.
package vfs
