// Random numbers that are the same on every platform and for every number of threads: a counter-based generator, so
// that value i of a stream is a function of (seed, stream, i) alone.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nnq {

/// A well-mixed 64-bit function of its argument (splitmix64's finaliser).
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// FNV-1a with a final mix; for names and file contents.
std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);

/// A stream of random numbers named by (seed, stream).
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) : key_(mix64(mix64(seed) ^ mix64(~stream))) {}
  Random(std::uint64_t seed, std::string_view stream) : Random(seed, hash64(stream)) {}

  /// Value `i` of the stream, without advancing.
  std::uint64_t at(std::uint64_t i) const { return mix64(key_ + i * 0xd1342543de82ef95ull); }
  std::uint64_t next() { return at(position_++); }
  /// [0, 1) with 24 (float) or 53 (double) random bits.
  float uniform_at(std::uint64_t i) const { return static_cast<float>(at(i) >> 40) * 0x1p-24f; }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  float uniform(float low, float high) { return low + (high - low) * static_cast<float>(uniform()); }
  /// Standard normal (Box-Muller; two draws a value).
  double normal();
  /// Uniform in 0 .. bound - 1; bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// A permutation of 0 .. count - 1 (Fisher-Yates).
  std::vector<std::int64_t> permutation(std::int64_t count);

 private:
  std::uint64_t key_;
  std::uint64_t position_ = 0;
};

}  // namespace nnq
