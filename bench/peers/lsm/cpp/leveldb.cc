// The same workloads on C++ LevelDB: one JSON line each.
//   leveldb DIR WORKLOADS N VALUE MEMTABLE CACHE BLOOM SNAPPY
// Random keys come from another generator than in Go, over the same range. LevelDB
// reads its tables through mappings, so what it reads is not counted.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using std::string;

static long n, value_size;
static leveldb::DB* db;
static string values;
static size_t value_pos;
static long user_bytes;             // keys and values written
static std::atomic<long> got_bytes; // keys and values that reads returned: looked at, so that nothing is optimised away

static void check(const leveldb::Status& s) {
  if (!s.ok() && !s.IsNotFound()) {
    fprintf(stderr, "leveldb-c++: %s\n", s.ToString().c_str());
    exit(1);
  }
}

static leveldb::Slice next_value() {
  if (value_pos + value_size > values.size()) value_pos = 0;
  leveldb::Slice s(values.data() + value_pos, value_size);
  value_pos += value_size;
  return s;
}

struct Key {
  char b[24];
  size_t len = 16;
  Key(unsigned long x, const char* suffix = "") {
    for (int i = 15; i >= 0; i--, x /= 10) b[i] = '0' + x % 10;
    for (; *suffix; suffix++) b[len++] = *suffix;
  }
  leveldb::Slice slice() const { return leveldb::Slice(b, len); }
};

static void put(const Key& k) {
  leveldb::Slice v = next_value();
  user_bytes += k.len + v.size();
  check(db->Put(leveldb::WriteOptions(), k.slice(), v));
}

static bool get(const Key& k, string* v) {
  bool ok = db->Get(leveldb::ReadOptions(), k.slice(), v).ok();
  if (ok) got_bytes += k.len + v->size();
  return ok;
}

static void visit(leveldb::Iterator* it) { got_bytes += it->key().size() + it->value().size(); }

struct Zipf {
  double zetan = 0, alpha = 1 / (1 - 0.99), eta;
  Zipf() {
    for (long i = 1; i <= n; i++) zetan += 1 / std::pow(i, 0.99);
    eta = (1 - std::pow(2.0 / n, 0.01)) / (1 - (1 + std::pow(0.5, 0.99)) / zetan);
  }
  unsigned long rank(double u) const {
    double uz = u * zetan;
    if (uz < 1) return 0;
    if (uz < 1 + std::pow(0.5, 0.99)) return 1;
    return n * std::pow(eta * u - eta + 1, alpha);
  }
};

struct Timer {
  std::vector<float> lat;
  Clock::time_point start = Clock::now(), last = start;
  void tick() {
    auto x = Clock::now();
    lat.push_back(std::chrono::duration<float, std::micro>(x - last).count());
    last = x;
  }
  float at(double p) {
    if (lat.empty()) return 0;
    return lat[std::min(lat.size() - 1, size_t(p * lat.size()))];
  }
};

static long ycsb(char which, Timer& t, std::mt19937_64& rng, long& found) {
  double read = 0, update = 0, insert = 0, scan = 0;
  switch (which) {
    case 'A': read = update = .5; break;
    case 'B': read = .95; update = .05; break;
    case 'C': read = 1; break;
    case 'D': read = .95; insert = .05; break;
    case 'E': scan = .95; insert = .05; break;
    case 'F': read = .5; break;
  }
  Zipf z;
  std::uniform_real_distribution<double> unit(0, 1);
  unsigned long next = n;
  long total = scan > 0 ? n / 10 : n / 2;
  string got;
  leveldb::WriteOptions w;
  leveldb::ReadOptions ro;
  for (long i = 0; i < total; i++, t.tick()) {
    unsigned long rank = z.rank(unit(rng)), x = rank * 0x9e3779b97f4a7c15ul % n;
    if (which == 'D') x = next - 1 - std::min(rank, next - 1);
    double u = unit(rng);
    if (u < read) {
      found += get(Key(x), &got);
    } else if (u < read + update) {
      put(Key(x));
    } else if (u < read + update + insert) {
      put(Key(next++));
    } else if (scan > 0) {
      leveldb::Iterator* it = db->NewIterator(ro);
      it->Seek(Key(x).slice());
      found += it->Valid();
      for (int k = 1 + rng() % 100; k > 0 && it->Valid(); k--, it->Next()) visit(it);
      delete it;
    } else {
      found += get(Key(x), &got);
      put(Key(x));
    }
  }
  return total;
}

static long point(const string& wl, Timer& t, std::mt19937_64& rng, long& found) {
  leveldb::WriteOptions w;
  leveldb::ReadOptions ro;
  string got;
  bool reads = wl.rfind("read", 0) == 0;
  for (long i = 0; i < n; i++, t.tick()) {
    unsigned long x = wl == "fillseq" ? i : rng() % (wl == "readhot" ? std::max(1L, n / 100) : n);
    Key k(x, wl == "readmissing" ? "." : "");
    if (reads) found += get(k, &got);
    else if (wl == "deleterandom") user_bytes += k.len, check(db->Delete(w, k.slice()));
    else put(k);
  }
  return n;
}

static long scan(const string& wl, Timer& t, std::mt19937_64& rng, long& found) {
  leveldb::Iterator* it = db->NewIterator(leveldb::ReadOptions());
  long ops = 0;
  if (wl == "readseq") {
    for (it->SeekToFirst(); it->Valid(); it->Next(), ops++) visit(it);
    found = ops;
  } else if (wl == "readreverse") {
    for (it->SeekToLast(); it->Valid(); it->Prev(), ops++) visit(it);
    found = ops;
  } else {
    for (; ops < n / 4; ops++, t.tick()) {
      it->Seek(Key(rng() % n).slice());
      found += it->Valid();
      for (int j = 0; j < 10 && it->Valid(); j++, it->Next()) visit(it);
    }
  }
  check(it->status());
  delete it;
  return std::max(1L, ops);
}

static void read_while_writing(Timer& t, std::mt19937_64& rng, long& found, long& ops) {
  bool stop = false;
  std::thread writer([&] {
    std::mt19937_64 r(19);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) put(Key(r() % n));
  });
  std::thread second([&] {
    std::mt19937_64 r(23);
    string got;
    for (long i = 0; i < n / 4; i++) get(Key(r() % n), &got);
  });
  string got;
  for (long i = 0; i < n / 4; i++, t.tick()) found += get(Key(rng() % n), &got);
  second.join();
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  writer.join();
  ops = n / 4 * 2;
}

static double proc_field(const char* file, const char* name) {
  std::ifstream f(file);
  string word;
  double v;
  while (f >> word)
    if (word == name && f >> v) return v;
  return -1;
}

// wrote_bytes is what was sent towards the disk, as the Go side counts it.
static double wrote_bytes() {
  double v = proc_field("/proc/self/io", "write_bytes:");
  return v > 0 ? v : proc_field("/proc/self/io", "wchar:");
}

static double dir_size(const string& dir) {
  double sum = 0;
  std::error_code ec;
  for (auto& e : std::filesystem::directory_iterator(dir, ec)) {
    auto size = e.file_size(ec); // files come and go
    if (!ec) sum += size;
  }
  return sum;
}

static double ratio(double moved, long user) { return user > 0 && moved >= 0 ? moved / user : -1; }

int main(int argc, char** argv) {
  if (argc < 9) return 2;
  string root = argv[1], wl, dir;
  n = atol(argv[3]);
  value_size = atol(argv[4]);
  leveldb::Options o;
  o.create_if_missing = true;
  o.write_buffer_size = atol(argv[5]);
  o.block_cache = leveldb::NewLRUCache(atol(argv[6]));
  o.filter_policy = leveldb::NewBloomFilterPolicy(atoi(argv[7]));
  o.compression = strcmp(argv[8], "true") == 0 ? leveldb::kSnappyCompression : leveldb::kNoCompression;
  std::mt19937_64 g(1);
  while (long(values.size()) < std::max(1L << 20, 4 * value_size)) {
    string h;
    for (int i = 0; i < 50; i++) h += char(' ' + g() % 95);
    values += h + h;
  }
  std::atomic<bool> over{false};
  double anon = 0, space = -1;
  std::thread sampler([&] {
    for (; !over; std::this_thread::sleep_for(std::chrono::milliseconds(20)))
      anon = std::max(anon, proc_field("/proc/self/status", "RssAnon:"));
  });
  std::stringstream list(argv[2]);
  for (int count = 0; std::getline(list, wl, ',');) {
    if (db == nullptr || wl == "fillseq" || wl == "fillrandom" || wl == "ycsb-load") {
      delete db;
      dir = root + "/" + std::to_string(count++);
      check(leveldb::DB::Open(o, dir, &db));
    }
    std::mt19937_64 rng(std::hash<string>()(wl));
    Timer t;
    t.lat.reserve(n);
    long user = user_bytes;
    double wrote = wrote_bytes();
    clock_t cpu = clock();
    t.start = t.last = Clock::now();
    long found = 0, ops = 1;
    if (wl == "compact") db->CompactRange(nullptr, nullptr);
    else if (wl.rfind("ycsb-", 0) == 0 && wl != "ycsb-load") ops = ycsb(wl.back(), t, rng, found);
    else if (wl == "readseq" || wl == "readreverse" || wl == "seekrandom") ops = scan(wl, t, rng, found);
    else if (wl == "readwhilewriting") read_while_writing(t, rng, found, ops);
    else ops = point(wl, t, rng, found);
    double sec = std::chrono::duration<double>(Clock::now() - t.start).count();
    double cpu_us = double(clock() - cpu) / CLOCKS_PER_SEC * 1e6 / ops;
    std::sort(t.lat.begin(), t.lat.end());
    printf("{\"engine\":\"leveldb-c++\",\"workload\":\"%s\",\"ops\":%ld,\"ops_per_s\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"found\":%ld,\"cpu_us_per_op\":%.3f,\"write_amp\":%.3f,\"read_amp\":-1}\n",
           wl.c_str(), ops, ops / sec, t.at(.5), t.at(.99), t.at(.999), found, cpu_us,
           ratio(wrote_bytes() - wrote, user_bytes - user));
    fflush(stdout);
    if (wl == "overwrite" || space < 0) space = dir_size(dir) / (n * (16 + value_size));
  }
  delete db;
  over = true;
  sampler.join();
  printf("{\"engine\":\"leveldb-c++\",\"peak_rss_mib\":%.0f,\"peak_anon_mib\":%.0f,\"go_heap_mib\":0,\"write_amplification\":%.3f,\"space_amplification\":%.3f}\n",
         proc_field("/proc/self/status", "VmHWM:") / 1024, anon / 1024, ratio(wrote_bytes(), user_bytes), space);
  return 0;
}
