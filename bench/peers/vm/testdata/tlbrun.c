// A plain reference for running a trace through a one-level set-associative TLB
// with LRU, every page mapped to itself. No more than a straightforward program: a
// time stamp for each entry, ways searched in order. Prints "misses N" and "ns NS"
// per reference: the least of the rounds, in processor time.
//
//	tlbrun ENTRIES WAYS FILE ROUNDS
//
// FILE holds 64-bit words in host order: page number << 1 | write.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct slot { uint64_t vpn, pa, used; uint32_t valid, perm; };
static struct slot *tlb;
static uint64_t misses, tick, sum;

static void run(const uint64_t *refs, uint64_t count, uint32_t sets, uint32_t ways) {
	memset(tlb, 0, sizeof *tlb * sets * ways);
	misses = tick = 0;
	for (uint64_t t = 0; t < count; t++) {
		uint64_t vpn = refs[t] >> 1;
		struct slot *set = tlb + (vpn & (sets - 1)) * ways, *victim = set, *end = set + ways, *s;
		for (s = set; s < end; s++) {
			if (s->valid && s->vpn == vpn) break;
			if (s->used < victim->used) victim = s;
		}
		if (s == end) {
			misses++;
			s = victim;
			*s = (struct slot){vpn, vpn << 12, 0, 1, 7};
		}
		s->used = ++tick;
		sum += s->pa;
	}
}

static double now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1e9 + t.tv_nsec; }

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	uint32_t entries = atoi(argv[1]), ways = atoi(argv[2]);
	int rounds = atoi(argv[4]);
	FILE *in = fopen(argv[3], "rb");
	if (!in) return 1;
	fseek(in, 0, SEEK_END);
	uint64_t count = ftell(in) / 8;
	rewind(in);
	uint64_t *refs = malloc(count * 8 + 8);
	if (fread(refs, 8, count, in) != count) return 1;
	tlb = malloc(sizeof *tlb * entries);
	double best = 1e18;
	for (int r = 0; r < rounds; r++) {
		double t = now();
		run(refs, count, entries / ways, ways);
		t = (now() - t) / count;
		if (t < best) best = t;
	}
	fprintf(stderr, "%llu\n", (unsigned long long)sum);
	printf("misses %llu\nns %.4f\n", (unsigned long long)misses, best);
}
