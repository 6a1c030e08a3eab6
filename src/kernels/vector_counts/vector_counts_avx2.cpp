// AVX2: vpshufb looks up 32 outputs at once. An entry is the count of one code plane plus 16 times that of another:
// three entries fit (3 * 4 < 16). Their sum S goes to a byte modulo 256, its upper half to another, H: the upper counts
// are H and the lower ones S - 16 H.
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <type_traits>

#include "kernels/unrolled.h"
#include "kernels/vector_counts/vector_counts.h"

namespace nnq::avx2 {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// Steps of three bytes whose counts of 24 bits fit a byte, and blocks of so many whose sums fit 16 bits.
constexpr std::int64_t byte_steps = 10, word_blocks = 256;

/// 32 counts in 16 bits.
struct Words {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
  void add(__m256i bytes) {
    low = _mm256_add_epi16(low, _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)));
    high = _mm256_add_epi16(high, _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1)));
  }
  /// To memory, or to what is there.
  void put(std::int32_t* counts, bool more) const {
    const __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1),
                              _mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)};
    for (int i = 0; i < 4; ++i) {
      auto* const to = reinterpret_cast<__m256i*>(counts + 8 * i);
      const __m256i v = _mm256_cvtepu16_epi32(parts[i]);
      _mm256_storeu_si256(to, more ? _mm256_add_epi32(_mm256_loadu_si256(to), v) : v);
    }
  }
};

/// Where the counts of one weight plane and two code planes go.
struct Places {
  std::int32_t *first, *second;
};

/// Counts so far of one weight plane: all lookups modulo 256, and the upper halves.
struct Sums {
  __m256i all = _mm256_setzero_si256(), high = _mm256_setzero_si256();

  /// Three bytes of 32 outputs. With `Two` the tables hold the counts of two code planes.
  template <bool Two>
  void add(const std::uint8_t* w, const __m256i (&table)[6]) {
    const __m256i mask = _mm256_set1_epi8(15), b0 = load(w), b1 = load(w + 32), b2 = load(w + 64);
    const auto upper = [&](__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), mask); };
    const auto three = [](__m256i a, __m256i b, __m256i c) { return _mm256_add_epi8(_mm256_add_epi8(a, b), c); };
    const __m256i s = three(_mm256_shuffle_epi8(table[0], _mm256_and_si256(b0, mask)),
                            _mm256_shuffle_epi8(table[1], upper(b0)),
                            _mm256_shuffle_epi8(table[2], _mm256_and_si256(b1, mask))),
                  t = three(_mm256_shuffle_epi8(table[3], upper(b1)),
                            _mm256_shuffle_epi8(table[4], _mm256_and_si256(b2, mask)),
                            _mm256_shuffle_epi8(table[5], upper(b2)));
    all = three(all, s, t);
    if constexpr (Two) high = three(high, upper(s), upper(t));
  }
};

/// `Planes` weight planes of a panel, `stride` bytes apart, against one code plane or two: a table is fetched once for
/// all of them.
template <bool Two, int Planes>
inline void panel_counts(const std::uint8_t* tables, const std::uint8_t* w, std::int64_t stride, std::int64_t steps,
                         const Places (&places)[Planes]) {
  const __m256i mask = _mm256_set1_epi8(15);
  bool more = false;
  do {
    Words one[Planes], other[Planes];
    for (std::int64_t block = 0; block < word_blocks && steps > 0; ++block) {
      Sums sums[Planes];
      const std::int64_t n = std::min(steps, byte_steps);
      for (std::int64_t k = 0; k < n; ++k, w += 3 * vector_panel, tables += 6 * 16) {
        __m256i table[6];
        unrolled<6>([&](auto i) {
          table[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + 16 * i)));
        });
        unrolled<Planes>([&](auto p) { sums[p].template add<Two>(w + p * stride, table); });
      }
      steps -= n;
      unrolled<Planes>([&](auto p) {
        __m256i all = sums[p].all;
        if constexpr (Two) {
          other[p].add(sums[p].high);
          all = _mm256_sub_epi8(all, _mm256_andnot_si256(mask, _mm256_slli_epi16(sums[p].high, 4)));
        }
        one[p].add(all);
      });
    }
    unrolled<Planes>([&](auto p) {
      one[p].put(places[p].first, more);
      if constexpr (Two) other[p].put(places[p].second, more);
    });
    more = true;
  } while (steps > 0);
}

/// counted[n][w]: bits of w & n.
struct Counted {
  alignas(16) std::uint8_t entry[16][16] = {};
  constexpr Counted() {
    for (unsigned n = 0; n < 16; ++n) {
      for (unsigned w = 0; w < 16; ++w) entry[n][w] = static_cast<std::uint8_t>(std::popcount(n & w));
    }
  }
};
constexpr Counted counted;

/// tables[nibble][16]: entry w = popcount(w & code bits of plane q) + 16 * that of plane q + 1.
template <bool Two>
void fill_tables(const VectorCall& call, int q) {
  const std::int64_t words = (call.inputs + 63) / 64;
  const auto bits_of = [](std::uint64_t nibble) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(counted.entry[nibble & 15]));
  };
  const std::int64_t size = vector_table_bytes(call.inputs, 1);
  std::uint8_t *to = call.tables + q / 2 * size, *const end = to + size;
  for (std::int64_t k = 0; to < end; ++k) {
    // Bytes of weights are a multiple of three: there may be one more than the words have.
    std::uint64_t first = k < words ? call.codes[q * words + k] : 0, second = 0;
    if constexpr (Two) second = k < words ? call.codes[(q + 1) * words + k] : 0;
    for (std::uint8_t* const stop = std::min(end, to + 16 * 16); to < stop; to += 16, first >>= 4, second >>= 4) {
      __m128i entry = bits_of(first);
      if constexpr (Two) entry = _mm_or_si128(entry, _mm_slli_epi16(bits_of(second), 4));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), entry);
    }
  }
}

}  // namespace

void fill_vector_tables(const VectorCall& call) noexcept {
  for (int q = 0; q < call.code_planes; q += 2)
    q + 1 < call.code_planes ? fill_tables<true>(call, q) : fill_tables<false>(call, q);
}

void vector_counts(const VectorCall& call) noexcept {
  const std::int64_t bytes = vector_weight_bytes(call.inputs), plane = bytes * vector_panel;
  for (int q = 0; q < call.code_planes; q += 2) {
    const bool two = q + 1 < call.code_planes;
    const std::uint8_t* const tables = call.tables + q / 2 * vector_table_bytes(call.inputs, 1);
    for (std::int64_t panel = 0; panel < call.panel_count; ++panel) {
      const auto place = [&](int p) {
        std::int32_t* const counts = call.counts + (p * call.code_planes + q) * call.stride + panel * vector_panel;
        return Places{counts, counts + call.stride};
      };
      for (int p = 0; p < call.weight_planes; p += 2) {
        const std::uint8_t* const w = call.panels + (panel * call.weight_planes + p) * plane;
        const auto run = [&](auto form, auto&&... to) {
          if (two)
            panel_counts<true, form>(tables, w, plane, bytes / 3, {to...});
          else
            panel_counts<false, form>(tables, w, plane, bytes / 3, {to...});
        };
        if (p + 1 < call.weight_planes)
          run(std::integral_constant<int, 2>{}, place(p), place(p + 1));
        else
          run(std::integral_constant<int, 1>{}, place(p));
      }
    }
  }
}

}  // namespace nnq::avx2
