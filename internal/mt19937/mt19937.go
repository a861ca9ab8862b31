// Package mt19937 is the Mersenne Twister as Python's random module seeds and
// reads it, so that the seeds of homework give the answers of homework
// (Matsumoto and Nishimura, ACM TOMACS 8, 1998; CPython,
// Modules/_randommodule.c).
package mt19937

// A Rand is one generator. It is not safe for concurrent use.
type Rand struct {
	state [624]uint32
	next  int
}

// New returns the generator after random.seed(seed). Python takes the absolute
// value of a negative seed; so must the caller. An integer seed goes through
// init_by_array in 32-bit words, which version=1 of random.seed does not change.
func New(seed uint64) *Rand {
	words := []uint32{uint32(seed)}
	if seed>>32 != 0 {
		words = append(words, uint32(seed>>32))
	}
	m := &Rand{}
	m.seed(19650218)
	m.seedWords(words)
	return m
}

// seed is init_genrand.
func (m *Rand) seed(s uint32) {
	m.state[0] = s
	for i := 1; i < len(m.state); i++ {
		prev := m.state[i-1]
		m.state[i] = 1812433253*(prev^prev>>30) + uint32(i)
	}
	m.next = len(m.state)
}

// seedWords is init_by_array.
func (m *Rand) seedWords(key []uint32) {
	n := len(m.state)
	i, j := 1, 0
	for range max(n, len(key)) {
		prev := m.state[i-1]
		m.state[i] = (m.state[i] ^ (prev^prev>>30)*1664525) + key[j] + uint32(j)
		if i++; i == n {
			m.state[0], i = m.state[n-1], 1
		}
		if j++; j == len(key) {
			j = 0
		}
	}
	for range n - 1 {
		prev := m.state[i-1]
		m.state[i] = (m.state[i] ^ (prev^prev>>30)*1566083941) - uint32(i)
		if i++; i == n {
			m.state[0], i = m.state[n-1], 1
		}
	}
	m.state[0] = 1 << 31
}

// uint32 is genrand_uint32.
func (m *Rand) uint32() uint32 {
	n := len(m.state)
	if m.next == n {
		for i := range n {
			y := m.state[i]&(1<<31) | m.state[(i+1)%n]&(1<<31-1)
			m.state[i] = m.state[(i+397)%n] ^ y>>1 ^ -(y&1)&0x9908b0df
		}
		m.next = 0
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// Float is random.random(): 53 bits in [0, 1).
func (m *Rand) Float() float64 {
	a, b := m.uint32()>>5, m.uint32()>>6
	return float64(uint64(a)<<26|uint64(b)) / (1 << 53)
}

// Below is int(random.random() * n), as the homework draws.
func (m *Rand) Below(n int) int { return int(m.Float() * float64(n)) }
