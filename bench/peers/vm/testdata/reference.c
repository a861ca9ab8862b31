// A plain reference for what vm does: translate a stream of addresses through a
// 64-entry 4-way LRU TLB over one page of entries, and walk a 4-level table with
// permission checks, without a TLB. No more than a straightforward program: the
// table is x86-64's, the checks are presence, rights combined over the levels, and
// the accessed bits. Prints "hit NS", "walk NS" per address: the least of the rounds.
//
//	reference PAGES ADDRESSES ROUNDS
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint8_t *mem;
static const uint64_t memsize = 64u << 20;
static uint64_t next_table = 4096, root;

static uint64_t table(void) { uint64_t t = next_table; next_table += 4096; return t; }
static uint64_t *entry(uint64_t t, uint64_t va, int shift) { return (uint64_t *)(mem + t) + (va >> shift & 511); }

static void map(uint64_t va, uint64_t pa) {
	uint64_t t = root;
	for (int shift = 39; shift > 12; shift -= 9) {
		uint64_t *e = entry(t, va, shift);
		if (!(*e & 1)) *e = table() | 0x27;
		t = *e & 0xffffffffff000;
	}
	*entry(t, va, 12) = pa | 0x67;
}

// user_read walks for a load from user mode: P, U and A at every level.
static uint64_t user_read(uint64_t va) {
	uint64_t t = root, rights = ~0ull, e;
	for (int shift = 39;; shift -= 9) {
		if (t > memsize - 4096) return ~0ull;
		e = *entry(t, va, shift);
		if ((e & 0x21) != 0x21) return ~0ull;
		rights &= e;
		if (shift == 12 || e & 0x80) {
			if (!(rights & 4)) return ~0ull;
			uint64_t m = (1ull << shift) - 1;
			return (e & 0xffffffffff000 & ~m) | (va & m);
		}
		t = e & 0xffffffffff000;
	}
}

static struct slot { uint64_t vpn, pa; uint32_t asid, perm; uint64_t used; } tlb[16][4];
static uint64_t tick;

static uint64_t translate(uint64_t va) {
	struct slot *set = tlb[va >> 12 & 15], *v = set;
	for (int i = 0; i < 4; i++) {
		if (set[i].vpn == va >> 12 && set[i].asid == 1) {
			if (!(set[i].perm & 4)) return ~0ull;
			set[i].used = ++tick;
			return set[i].pa | (va & 4095);
		}
		if (set[i].used < v->used) v = &set[i];
	}
	uint64_t pa = user_read(va);
	if (pa != ~0ull) *v = (struct slot){va >> 12, pa & ~4095ull, 1, 7, ++tick};
	return pa;
}

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }

int main(int argc, char **argv) {
	uint64_t pages = argc > 1 ? strtoull(argv[1], 0, 0) : 4096, n = argc > 2 ? strtoull(argv[2], 0, 0) : 1 << 20, sum = 0;
	int rounds = argc > 3 ? atoi(argv[3]) : 5;
	mem = aligned_alloc(4096, memsize);
	for (uint64_t i = 0; i < memsize / 8; i++) ((uint64_t *)mem)[i] = 0;
	root = table();
	for (uint64_t i = 0; i < pages; i++) map(0x400000 + i * 4096, 0x1000000 + i * 4096);
	uint64_t *vas = malloc(n * 8), *pas = malloc(n * 8), x = 88172645463325252ull;
	double hit = 1e18, walk = 1e18;
	for (int r = 0; r < rounds; r++) {
		for (uint64_t i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; vas[i] = 0x400000 + (x % (32 * 4096)); }
		for (uint64_t i = 0; i < n; i++) pas[i] = translate(vas[i]);
		double t = now();
		for (uint64_t i = 0; i < n; i++) pas[i] = translate(vas[i]);
		t = (now() - t) / n; if (t < hit) hit = t;
		for (uint64_t i = 0; i < n; i += 64) sum += pas[i];
		for (uint64_t i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; vas[i] = 0x400000 + (x % (pages * 4096)); }
		t = now();
		for (uint64_t i = 0; i < n; i++) pas[i] = user_read(vas[i]);
		t = (now() - t) / n; if (t < walk) walk = t;
		for (uint64_t i = 0; i < n; i += 64) sum += pas[i];
	}
	fprintf(stderr, "%llu\n", (unsigned long long)sum);
	printf("hit %.3f\nwalk %.3f\n", hit, walk);
}
