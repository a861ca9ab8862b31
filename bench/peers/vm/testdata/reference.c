// A plain reference for what vm does: translate a stream of addresses through a
// 64-entry 4-way LRU TLB over one page of entries, and walk a 4-level table with
// permission checks, without a TLB. No more than a straightforward program: the
// table is x86-64's, the checks are presence, rights combined over the levels, and
// the accessed bits. Prints "hit NS" and "walk NS" per address (the least of the rounds,
// in processor time), "hitsum N" and "walksum N" (the sums of the physical addresses,
// modulo 2^32) and "misses N" (of the TLB, in the timed rounds).
//
//	reference PAGES HITS WALKS ROUNDS
//
// HITS and WALKS are files of as many addresses: 64-bit words in host order. PAGES pages
// are mapped from 0x400000 on to frames from 0x1000000 on.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
static uint64_t tick, misses;

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
	misses++;
	uint64_t pa = user_read(va);
	if (pa != ~0ull) *v = (struct slot){va >> 12, pa & ~4095ull, 1, 7, ++tick};
	return pa;
}

static double now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1e9 + t.tv_nsec; }

static uint64_t *load(const char *name, uint64_t *n) {
	FILE *in = fopen(name, "rb");
	if (!in) exit(1);
	fseek(in, 0, SEEK_END);
	*n = ftell(in) / 8;
	rewind(in);
	uint64_t *vas = malloc(*n * 8 + 8);
	if (fread(vas, 8, *n, in) != *n) exit(1);
	fclose(in);
	return vas;
}

static uint32_t total(const uint64_t *pas, uint64_t n) {
	uint32_t sum = 0;
	for (uint64_t i = 0; i < n; i++) sum += pas[i];
	return sum;
}

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	uint64_t pages = strtoull(argv[1], 0, 0), hits, walks;
	uint64_t *hit = load(argv[2], &hits), *walk = load(argv[3], &walks);
	uint64_t *pas = malloc((hits > walks ? hits : walks) * 8 + 8);
	uint32_t hitsum = 0, walksum = 0;
	int rounds = atoi(argv[4]);
	mem = aligned_alloc(4096, memsize);
	memset(mem, 0, memsize);
	root = table();
	for (uint64_t i = 0; i < pages; i++) map(0x400000 + i * 4096, 0x1000000 + i * 4096);
	for (uint64_t i = 0; i < hits; i++) pas[i] = translate(hit[i]);
	misses = 0;
	double hitns = 1e18, walkns = 1e18;
	for (int r = 0; r < rounds; r++) {
		double t = now();
		for (uint64_t i = 0; i < hits; i++) pas[i] = translate(hit[i]);
		t = (now() - t) / hits;
		if (t < hitns) hitns = t;
		hitsum = total(pas, hits);
		t = now();
		for (uint64_t i = 0; i < walks; i++) pas[i] = user_read(walk[i]);
		t = (now() - t) / walks;
		if (t < walkns) walkns = t;
		walksum = total(pas, walks);
	}
	printf("hit %.3f\nwalk %.3f\nhitsum %u\nwalksum %u\nmisses %llu\n", hitns, walkns, hitsum, walksum, (unsigned long long)misses);
}
