// A plain reference for page replacement: FIFO, LRU or CLOCK over a trace of page
// numbers, with an open hash table on the raw numbers (linear probing, at most half
// full, backward-shift deletion) and O(1) work a reference. No more than a
// straightforward program. Prints "misses N", "writebacks N" and "ns NS" per
// reference: the least of the rounds, in processor time.
//
//	page fifo|lru|clock FRAMES FILE ROUNDS
//
// FILE holds 64-bit words in host order: page number << 1 | write.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t *key; // page + 1, 0: free
static uint32_t *val; // frame
static uint64_t mask;
static int shift;

static uint64_t home(uint64_t page) { return page * 0x9e3779b97f4a7c15ull >> shift; }

static int64_t find(uint64_t page) {
	for (uint64_t i = home(page);; i = (i + 1) & mask) {
		if (key[i] == page + 1) return val[i];
		if (!key[i]) return -1;
	}
}

static void put(uint64_t page, uint32_t frame) {
	uint64_t i = home(page);
	while (key[i]) i = (i + 1) & mask;
	key[i] = page + 1;
	val[i] = frame;
}

static void del(uint64_t page) {
	uint64_t i = home(page);
	while (key[i] != page + 1) i = (i + 1) & mask;
	for (uint64_t j = i;;) {
		j = (j + 1) & mask;
		if (!key[j]) break;
		if (((j - home(key[j] - 1)) & mask) >= ((j - i) & mask)) {
			key[i] = key[j];
			val[i] = val[j];
			i = j;
		}
	}
	key[i] = 0;
}

static uint64_t *page;
static uint8_t *dirty, *bit;
static uint32_t *prev, *next; // of frames; frame n is the head
static uint64_t misses, writebacks;

static void unlink_(uint32_t f) { next[prev[f]] = next[f]; prev[next[f]] = prev[f]; }
static void push(uint32_t f, uint32_t n) { prev[f] = prev[n]; next[f] = n; next[prev[n]] = f; prev[n] = f; }

static void run(const uint64_t *refs, uint64_t count, uint32_t n, int policy) {
	uint32_t used = 0, hand = 0;
	memset(key, 0, (mask + 1) * 8);
	prev[n] = next[n] = n;
	misses = writebacks = 0;
	for (uint64_t t = 0; t < count; t++) {
		uint64_t p = refs[t] >> 1, w = refs[t] & 1;
		int64_t f = find(p);
		if (f >= 0) {
			dirty[f] |= w;
			if (policy == 1 && prev[n] != f) { unlink_(f); push(f, n); }
			bit[f] = 1;
			continue;
		}
		misses++;
		if (used < n) {
			f = used++;
		} else {
			if (policy == 2) {
				while (bit[hand]) { bit[hand] = 0; if (++hand == n) hand = 0; }
				f = hand;
				if (++hand == n) hand = 0;
			} else {
				f = next[n];
				unlink_(f);
			}
			writebacks += dirty[f];
			del(page[f]);
		}
		if (policy != 2) push(f, n);
		page[f] = p;
		dirty[f] = w;
		bit[f] = 1;
		put(p, f);
	}
}

static double now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1e9 + t.tv_nsec; }

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	int policy = !strcmp(argv[1], "fifo") ? 0 : !strcmp(argv[1], "lru") ? 1 : 2, rounds = atoi(argv[4]);
	uint32_t n = atoi(argv[2]);
	FILE *in = fopen(argv[3], "rb");
	if (!in) return 1;
	fseek(in, 0, SEEK_END);
	uint64_t count = ftell(in) / 8;
	rewind(in);
	uint64_t *refs = malloc(count * 8 + 8);
	if (fread(refs, 8, count, in) != count) return 1;
	uint64_t size = 16;
	for (shift = 60; size < 2ull * n + 2; size *= 2) shift--;
	mask = size - 1;
	key = malloc(size * 8);
	val = malloc(size * 4);
	page = malloc(n * 8 + 8);
	dirty = malloc(n + 1);
	bit = malloc(n + 1);
	prev = malloc(n * 4 + 4);
	next = malloc(n * 4 + 4);
	double best = 1e18;
	for (int r = 0; r < rounds; r++) {
		double t = now();
		run(refs, count, n, policy);
		t = (now() - t) / count;
		if (t < best) best = t;
	}
	printf("misses %llu\nwritebacks %llu\nns %.4f\n", (unsigned long long)misses, (unsigned long long)writebacks, best);
}
