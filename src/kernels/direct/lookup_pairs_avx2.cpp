// Table lookups for two rows at once. Entries of at most 5 (binary layers count 4 bits) leave half of a byte unused: a
// table for the nibbles of two rows holds the first row's entry in the low four bits and the second's in the high ones.
// Three lookups meet in four bits before they are parted: 9 operations for what 12 do a row at a time.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/direct/direct.h"
#include "kernels/direct/lookup_avx2.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t unit = 4 * lookup_panel;  // bytes of a step's weights: four lookups
constexpr std::int64_t index_room = 8192;        // of a block of rows, in numbers of tables

/// Sums of 32 columns of two rows since they were last widened. low: the first row's, in bytes. high: words v >> 4 of
/// all v = first + 16 * second, modulo 2^16, in which the odd columns' first rows are still in the way.
struct alignas(32) Pair {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
};

/// Sums of rounds of three lookups: of two pairs of rows in two panels, which share the weights' loads, or of one pair
/// in one panel, added to what is there. The loops are assembly: g++ 12 keeps the sums of such loops in memory.
/// rounds: 1 and more.
inline void look_up(const std::uint8_t* tables, const std::uint16_t* index0, const std::uint16_t* index1,
                    std::int64_t rounds, const std::uint8_t* w0, const std::uint8_t* w1, Pair (&sums)[2][2]) {
  const __m256i fours = _mm256_set1_epi8(15);
  std::uint64_t i;
  asm volatile(
      "vpxor %%xmm0, %%xmm0, %%xmm0\n\t"
      "vpxor %%xmm1, %%xmm1, %%xmm1\n\t"
      "vpxor %%xmm2, %%xmm2, %%xmm2\n\t"
      "vpxor %%xmm3, %%xmm3, %%xmm3\n\t"
      "vpxor %%xmm4, %%xmm4, %%xmm4\n\t"
      "vpxor %%xmm5, %%xmm5, %%xmm5\n\t"
      "vpxor %%xmm6, %%xmm6, %%xmm6\n\t"
      "vpxor %%xmm7, %%xmm7, %%xmm7\n\t"
      ".p2align 6\n"
      "1:\n\t"
      "vmovdqu (%[w0]), %%ymm12\n\t"
      "vmovdqu (%[w1]), %%ymm13\n\t"
      "movzwl (%[index0]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm8\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm9\n\t"
      "movzwl (%[index1]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm10\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm11\n\t"
      "vmovdqu 32(%[w0]), %%ymm12\n\t"
      "vmovdqu 32(%[w1]), %%ymm13\n\t"
      "movzwl 2(%[index0]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm15\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm14\n\t"
      "vpaddb %%ymm15, %%ymm8, %%ymm8\n\t"
      "vpaddb %%ymm14, %%ymm9, %%ymm9\n\t"
      "movzwl 2(%[index1]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm15\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm14\n\t"
      "vpaddb %%ymm15, %%ymm10, %%ymm10\n\t"
      "vpaddb %%ymm14, %%ymm11, %%ymm11\n\t"
      "vmovdqu 64(%[w0]), %%ymm12\n\t"
      "vmovdqu 64(%[w1]), %%ymm13\n\t"
      "movzwl 4(%[index0]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm15\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm14\n\t"
      "vpaddb %%ymm15, %%ymm8, %%ymm8\n\t"
      "vpaddb %%ymm14, %%ymm9, %%ymm9\n\t"
      "movzwl 4(%[index1]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %%ymm14\n\t"
      "vpshufb %%ymm12, %%ymm14, %%ymm15\n\t"
      "vpshufb %%ymm13, %%ymm14, %%ymm14\n\t"
      "vpaddb %%ymm15, %%ymm10, %%ymm10\n\t"
      "vpaddb %%ymm14, %%ymm11, %%ymm11\n\t"
      "vmovdqa %[fours], %%ymm12\n\t"
      "vpand %%ymm12, %%ymm8, %%ymm15\n\t"
      "vpand %%ymm12, %%ymm9, %%ymm14\n\t"
      "vpsrlw $4, %%ymm8, %%ymm8\n\t"
      "vpsrlw $4, %%ymm9, %%ymm9\n\t"
      "vpaddb %%ymm15, %%ymm0, %%ymm0\n\t"
      "vpaddb %%ymm14, %%ymm2, %%ymm2\n\t"
      "vpaddw %%ymm8, %%ymm1, %%ymm1\n\t"
      "vpaddw %%ymm9, %%ymm3, %%ymm3\n\t"
      "vpand %%ymm12, %%ymm10, %%ymm15\n\t"
      "vpand %%ymm12, %%ymm11, %%ymm14\n\t"
      "vpsrlw $4, %%ymm10, %%ymm10\n\t"
      "vpsrlw $4, %%ymm11, %%ymm11\n\t"
      "vpaddb %%ymm15, %%ymm4, %%ymm4\n\t"
      "vpaddb %%ymm14, %%ymm6, %%ymm6\n\t"
      "vpaddw %%ymm10, %%ymm5, %%ymm5\n\t"
      "vpaddw %%ymm11, %%ymm7, %%ymm7\n\t"
      "add $6, %[index0]\n\t"
      "add $6, %[index1]\n\t"
      "add $96, %[w0]\n\t"
      "add $96, %[w1]\n\t"
      "dec %[rounds]\n\t"
      "jnz 1b\n\t"
      "vmovdqa %%ymm0, (%[sums])\n\t"
      "vmovdqa %%ymm1, 32(%[sums])\n\t"
      "vmovdqa %%ymm2, 64(%[sums])\n\t"
      "vmovdqa %%ymm3, 96(%[sums])\n\t"
      "vmovdqa %%ymm4, 128(%[sums])\n\t"
      "vmovdqa %%ymm5, 160(%[sums])\n\t"
      "vmovdqa %%ymm6, 192(%[sums])\n\t"
      "vmovdqa %%ymm7, 224(%[sums])\n\t"
      : [i] "=&r"(i), [index0] "+r"(index0), [index1] "+r"(index1), [rounds] "+r"(rounds), [w0] "+r"(w0), [w1] "+r"(w1)
      : [tables] "r"(tables), [fours] "m"(fours), [sums] "r"(&sums[0][0])
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
inline void look_up(const std::uint8_t* tables, const std::uint16_t* index, std::int64_t rounds, const std::uint8_t* w,
                    Pair& sums) {
  __m256i v, x;
  std::uint64_t i;
  asm volatile(
      ".p2align 6\n"
      "1:\n\t"
      "movzwl (%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb (%[w]), %[x], %[v]\n\t"
      "movzwl 2(%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb 32(%[w]), %[x], %[x]\n\t"
      "vpaddb %[x], %[v], %[v]\n\t"
      "movzwl 4(%[index]), %k[i]\n\t"
      "vbroadcasti128 (%[tables],%[i]), %[x]\n\t"
      "vpshufb 64(%[w]), %[x], %[x]\n\t"
      "vpaddb %[x], %[v], %[v]\n\t"
      "vpand %[fours], %[v], %[x]\n\t"
      "vpsrlw $4, %[v], %[v]\n\t"
      "vpaddb %[x], %[low], %[low]\n\t"
      "vpaddw %[v], %[high], %[high]\n\t"
      "add $6, %[index]\n\t"
      "add $96, %[w]\n\t"
      "dec %[rounds]\n\t"
      "jnz 1b"
      : [low] "+x"(sums.low), [high] "+x"(sums.high), [v] "=&x"(v), [x] "=&x"(x), [i] "=&r"(i), [index] "+r"(index),
        [rounds] "+r"(rounds), [w] "+r"(w)
      : [tables] "r"(tables), [fours] "x"(_mm256_set1_epi8(15))
      : "memory", "cc");
}

/// One lookup in one panel.
inline void look_up_one(const std::uint8_t* table, const std::uint8_t* w, Pair& sums) {
  const __m256i all = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))),
                v = _mm256_shuffle_epi8(all, load(w));
  sums.low = _mm256_add_epi8(sums.low, _mm256_and_si256(v, _mm256_set1_epi8(15)));
  sums.high = _mm256_add_epi16(sums.high, _mm256_srli_epi16(v, 4));
}

struct Tables {
  alignas(64) std::uint8_t pairs[256][16];  // by first nibble + 16 * second

  explicit Tables(const LookupTables& lookup) {
    __m256i entries[8];  // of two nibbles each
    for (int n = 0; n < 16; n += 2)
      entries[n / 2] = _mm256_inserti128_si256(_mm256_castsi128_si256(nibble(lookup, n)), nibble(lookup, n + 1), 1);
    for (int second = 0; second < 16; ++second) {
      const __m256i high = _mm256_broadcastsi128_si256(_mm_slli_epi16(nibble(lookup, second), 4));
      for (int first = 0; first < 16; first += 2)
        store(pairs[second * 16 + first], _mm256_add_epi8(entries[first / 2], high));
    }
  }

 private:
  static __m128i nibble(const LookupTables& lookup, int n) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lookup.tables + n * 2 * 16));
  }
};

struct Block {
  const DirectCall& call;
  const Tables& tables;
  const std::uint16_t* index;  // [pairs][stride]: byte offset of a table, four a step
  std::int64_t stride, first;  // first: pair of the block
};

/// Sums of `lookups` lookups of two pairs in two panels, or of fewer.
template <int Pairs, int Panels>
inline void sum_pairs(const Block& block, const std::uint16_t* index, std::int64_t lookups, const std::uint8_t* panel,
                      Pair (&sums)[Pairs][Panels]) {
  const std::uint8_t* const tables = block.tables.pairs[0];
  const std::int64_t rounds = lookups / 3, next_panel = block.call.steps * unit;
  if (Pairs * Panels < 4 || rounds == 0) std::fill_n(&sums[0][0], Pairs * Panels, Pair{});
  if constexpr (Pairs * Panels == 4) {
    if (rounds > 0) look_up(tables, index, index + block.stride, rounds, panel, panel + next_panel, sums);
  } else {
    for (int p = 0; rounds > 0 && p < Panels; ++p) look_up(tables, index, rounds, panel + p * next_panel, sums[0][p]);
  }
  for (std::int64_t l = rounds * 3; l < lookups; ++l) {
    for (int r = 0; r < Pairs; ++r) {
      for (int p = 0; p < Panels; ++p)
        look_up_one(tables + index[r * block.stride + l], panel + p * next_panel + l * lookup_panel, sums[r][p]);
    }
  }
}

inline void widen(const Pair& sums, Words& first, Words& second) {
  const __m256i odd = _mm256_srli_epi16(sums.low, 8), high = _mm256_sub_epi16(sums.high, _mm256_slli_epi16(odd, 4));
  first.add(sums.low, odd);
  second.add(high, _mm256_srli_epi16(high, 8));
}

template <int Pairs, int Panels>
[[gnu::noinline]] void pair_tile(const Block& block, std::int64_t pair, const std::uint8_t* panel,
                                 std::int64_t column) {
  const DirectCall& call = block.call;
  const LookupTables& lookup = *call.lookup;
  const std::uint16_t* index = block.index + (pair - block.first) * block.stride;
  bool first = true;
  for (std::int64_t k = 0; k < call.steps || first; first = false) {
    Words words[2 * Pairs][Panels];
    asm volatile("" : : "r"(words) : "memory");  // there are no registers for them, and no use in moving them about
    for (const std::int64_t stop = std::min(call.steps, k + lookup.word_units); k < stop;) {
      const std::int64_t n = std::min(lookup.byte_units, stop - k);
      Pair sums[Pairs][Panels];
      sum_pairs(block, index, n * 4, panel, sums);
      for (int r = 0; r < Pairs; ++r) {
        for (int p = 0; p < Panels; ++p) widen(sums[r][p], words[2 * r][p], words[2 * r + 1][p]);
      }
      k += n;
      index += n * 4;
      panel += n * unit;
    }
    for (int r = 0; r < 2 * Pairs; ++r) {
      const DirectRow& row = call.rows[pair * 2 + r];
      for (int p = 0; p < Panels; ++p) {
        const std::int64_t at = column + p * lookup_panel;
        std::int32_t* const sum = call.sums + (pair * 2 + r) * call.stride + at;
        words[r][p].store(first ? row.start + at : sum, lookup.shift, sum);
      }
    }
  }
}

template <int Panels>
void pair_panels(const Block& block, std::int64_t end, std::int64_t panel) {
  const std::uint8_t* const weights = block.call.panels + panel * block.call.steps * unit;
  std::int64_t pair = block.first;
  if constexpr (Panels == 2) {
    for (; pair + 2 <= end; pair += 2) pair_tile<2, 2>(block, pair, weights, panel * lookup_panel);
  }
  for (; pair < end; ++pair) pair_tile<1, Panels>(block, pair, weights, panel * lookup_panel);
}

/// The tables of two rows' nibbles, at four steps and at eight.
inline void fill_index(__m128i a, __m128i b, std::int64_t steps, std::uint16_t* index) {
  const __m128i fours = _mm_set1_epi8(15);
  const __m128i low = _mm_or_si128(_mm_and_si128(a, fours), _mm_slli_epi16(_mm_and_si128(b, fours), 4)),
                high = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), fours), _mm_andnot_si128(fours, b));
  store(index, _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high)), 4));
  if (steps == 8) store(index + 16, _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(low, high)), 4));
}

/// How the next steps' bytes lie, at every fourth step: one behind the other for eight or four steps, or anywhere (0).
class Lie {
 public:
  explicit Lie(const DirectCall& call) {
    const std::int64_t fours = call.steps / 4;
    const auto behind = [&](std::int64_t k) { return call.offsets[k + 1] == call.offsets[k] + 2; };
    bool behind_last = false;
    for (std::int64_t i = fours - 1; i >= 0; --i) {
      const std::int64_t k = i * 4;
      const bool four = behind(k) && behind(k + 1) && behind(k + 2);
      steps_[i] = !four ? 0 : i + 1 < fours && behind_last && behind(k + 3) ? 8 : 4;
      behind_last = four;
    }
    if (call.steps % 4 != 0) steps_[fours] = 0;
  }
  std::int64_t steps(std::int64_t k) const { return steps_[k / 4]; }

 private:
  std::uint8_t steps_[index_room / 16];
};

/// Two rows of the call. index: room for a multiple of four steps.
void index_pair(const DirectCall& call, const Lie& lie, const DirectRow* rows, std::uint16_t* index) {
  const std::int64_t* const offsets = call.offsets;
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t at = offsets[k], steps = lie.steps(k);
    if (steps == 8) {
      fill_index(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[0].data + at)),
                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[1].data + at)), 8, index);
      k += 8, index += 32;
      continue;
    }
    std::uint8_t bytes[2][8] = {};
    if (steps == 4) {
      std::memcpy(bytes[0], rows[0].data + at, 8);
      std::memcpy(bytes[1], rows[1].data + at, 8);
    } else {
      for (std::int64_t i = 0; i < std::min<std::int64_t>(4, call.steps - k); ++i) {
        std::memcpy(bytes[0] + 2 * i, rows[0].data + offsets[k + i], 2);
        std::memcpy(bytes[1] + 2 * i, rows[1].data + offsets[k + i], 2);
      }
    }
    fill_index(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes[0])),
               _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes[1])), 4, index);
    k += 4, index += 16;
  }
}

}  // namespace

std::int64_t lookup_pairs(const DirectCall& call) noexcept {
  const LookupTables& lookup = *call.lookup;
  const std::int64_t stride = (call.steps + 3) / 4 * 16;
  // A block holds a tile of two pairs.
  if (lookup.lookups != 2 || lookup.byte_units < 255 / (pair_entry * 4) || stride * 2 > index_room) return 0;
  const Tables tables(lookup);
  const Lie lie(call);
  alignas(64) std::uint16_t index[index_room];
  const std::int64_t pairs = call.row_count / 2, most = stride == 0 ? pairs : index_room / stride / 2 * 2;
  for (std::int64_t first = 0; first < pairs; first += most) {
    const std::int64_t end = std::min(pairs, first + most);
    for (std::int64_t pair = first; pair < end; ++pair)
      index_pair(call, lie, call.rows + pair * 2, index + (pair - first) * stride);
    const Block block{call, tables, index, stride, first};
    std::int64_t p = 0;
    for (; p + 2 <= call.panel_count; p += 2) pair_panels<2>(block, end, p);
    if (p < call.panel_count) pair_panels<1>(block, end, p);
  }
  return pairs * 2;
}

}  // namespace nnq::avx2
