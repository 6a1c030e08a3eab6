#include "kernels/ceilings.h"

#include <algorithm>
#include <chrono>
#include <memory>

namespace nnq {
namespace {

using Clock = std::chrono::steady_clock;

/// Billions a second: the best of nine rounds.
template <class F>
double best_rate(F&& work) {
  double best = 0;
  for (int round = 0; round < 9; ++round) {
    const auto begin = Clock::now();
    const auto done = static_cast<double>(work());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, done / seconds / 1e9);
  }
  return best;
}

/// Loads words one by one, for machines without vectors known here.
void read_words(const void* from, std::int64_t bytes) {
  const auto* word = static_cast<const std::uint64_t*>(from);
  for (std::int64_t i = 0; i < bytes / 8; ++i) asm volatile("" : : "r"(word[i]));
}

double read_rate([[maybe_unused]] Isa isa, std::int64_t bytes) {
  const std::vector<std::uint64_t> memory(static_cast<std::size_t>(bytes / 8 + 8), 1);
  void* start = const_cast<std::uint64_t*>(memory.data());
  std::size_t space = memory.size() * 8;
  const void* const from = std::align(64, static_cast<std::size_t>(bytes), start, space);
  return best_rate([&] {
    std::int64_t read = 0;
    do {
#if defined(__x86_64__)
      if (isa >= Isa::avx2)
        avx2::ceiling_read(from, bytes);
      else
        read_words(from, bytes);
#else
      read_words(from, bytes);
#endif
      read += bytes;
    } while (read < (std::int64_t{16} << 20));
    return read;
  });
}

}  // namespace

const char* name_of(CeilingKind kind) {
  switch (kind) {
    case CeilingKind::int8:
      return "int8";
    case CeilingKind::narrow:
      return "narrow";
    case CeilingKind::binary:
      return "binary";
    case CeilingKind::lookup:
      return "lookup";
    case CeilingKind::real:
      return "float";
    case CeilingKind::bandwidth:
      return "memory";
  }
  return "?";
}

std::vector<Ceiling> measure_ceilings(Isa isa) {
  std::vector<Ceiling> list;
#if defined(__x86_64__)
  const auto loop = [&](Isa needs, CeilingKind kind, const char* name, CeilingLoop run) {
    if (needs <= isa) list.push_back({kind, name, "GOP/s", best_rate([&] { return run(100000); }), needs});
  };
  using enum CeilingKind;
  loop(Isa::avx512, int8, "int8: vpdpbusd", avx512::ceiling_int8);
  loop(Isa::avx512, binary, "binary: vpxord, vpopcntd, vpaddd", avx512::ceiling_binary);
  loop(Isa::avx512, lookup, "lookup of 4 bits: vpshufb, vpaddb zmm", avx512::ceiling_lookup);
  loop(Isa::avx512, real, "float: vfmadd231ps zmm", avx512::ceiling_float);
  loop(Isa::avx2, int8, "int8: vpmaddwd, vpaddd", avx2::ceiling_int8);
  loop(Isa::avx2, narrow, "narrow int8: vpmaddubsw, vpaddw", avx2::ceiling_narrow);
  loop(Isa::avx2, binary, "binary: vpxor, popcount by 2 vpshufb, vpaddb", avx2::ceiling_binary);
  loop(Isa::avx2, lookup, "lookup of 4 bits: vpshufb, vpaddb", avx2::ceiling_lookup);
  loop(Isa::avx2, real, "float: vfmadd231ps ymm", avx2::ceiling_float);
#endif
  constexpr std::int64_t kilobyte = 1024, megabyte = kilobyte * kilobyte;
  const auto read = [&](const char* name, std::int64_t bytes) {
    list.push_back({CeilingKind::bandwidth, name, "GB/s", read_rate(isa, bytes), Isa::portable});
  };
  read("read 16 KiB (first-level cache)", 16 * kilobyte);
  read("read 256 KiB (second level)", 256 * kilobyte);
  read("read 4 MiB (third level)", 4 * megabyte);
  read("read 128 MiB (memory)", 128 * megabyte);
  return list;
}

}  // namespace nnq
