// Table lookups for two rows at once. Entries of at most 5 (binary layers count 4 bits) leave half of a byte unused: a
// table for the nibbles of two rows holds the first row's entry in the low four bits and the second's in the high ones.
// Three lookups meet in four bits before they are parted: 9 operations for what 12 do a row at a time.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/direct/direct.h"
#include "kernels/direct/lookup_avx2.h"
#include "kernels/direct/lookup_pair_sums_avx2.h"

namespace nnq::avx2 {
namespace {

constexpr std::int64_t unit = 4 * lookup_panel;            // bytes of a step's weights: four lookups
constexpr std::int64_t index_room = 8192;                  // of a block of rows, in numbers of tables
constexpr std::int64_t most_steps = index_room / (2 * 4);  // of which a block holds two pairs of rows

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

/// Sums of `lookups` lookups, a step's four or more, of two pairs in two panels, or of fewer.
template <int Pairs, int Panels>
inline void sum_pairs(const Block& block, const std::uint16_t* index, std::int64_t lookups, const std::uint8_t* panel,
                      Pair (&sums)[Pairs][Panels]) {
  const std::uint8_t* const tables = block.tables.pairs[0];
  const std::int64_t rounds = lookups / 3, next_panel = block.call.steps * unit;
  if constexpr (Pairs * Panels == 4) {
    look_up(tables, index, index + block.stride, rounds, panel, panel + next_panel, sums);
  } else {
    for (int p = 0; p < Panels; ++p) look_up(tables, index, rounds, panel + p * next_panel, sums[0][p]);
  }
  for (std::int64_t l = rounds * 3; l < lookups; ++l) {
    for (int r = 0; r < Pairs; ++r) {
      for (int p = 0; p < Panels; ++p)
        look_up_one(tables + index[r * block.stride + l], panel + p * next_panel + l * lookup_panel, sums[r][p]);
    }
  }
}

template <int Pairs, int Panels>
[[gnu::noinline]] void pair_tile(const Block& block, std::int64_t pair, const std::uint8_t* panel,
                                 std::int64_t column) {
  const DirectCall& call = block.call;
  const LookupTables& lookup = *call.lookup;
  const std::uint16_t* index = block.index + (pair - block.first) * block.stride;
  Words words[2 * Pairs][Panels];
  asm volatile("" : : "r"(words) : "memory");  // there are no registers for them, and no use in moving them about
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t n = std::min(lookup.byte_units, call.steps - k);
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
      words[r][p].store(row.start + at, lookup.shift, call.sums + (pair * 2 + r) * call.stride + at);
    }
  }
}

/// Two panels or, at the end, one.
void pair_panels(const Block& block, std::int64_t end, std::int64_t panel, std::int64_t panels) {
  const std::uint8_t* const weights = block.call.panels + panel * block.call.steps * unit;
  std::int64_t pair = block.first;
  for (; panels == 2 && pair + 2 <= end; pair += 2) pair_tile<2, 2>(block, pair, weights, panel * lookup_panel);
  for (; pair < end; ++pair) {
    for (std::int64_t p = 0; p < panels; ++p)
      pair_tile<1, 1>(block, pair, weights + p * block.call.steps * unit, (panel + p) * lookup_panel);
  }
}

/// The tables of two rows' nibbles, at four steps and at eight.
inline void fill_index(__m128i a, __m128i b, std::int64_t steps, std::uint16_t* index) {
  const __m128i low_nibbles = _mm_set1_epi8(15);
  const __m128i low = _mm_or_si128(_mm_and_si128(a, low_nibbles), _mm_slli_epi16(_mm_and_si128(b, low_nibbles), 4)),
                high = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low_nibbles), _mm_andnot_si128(low_nibbles, b));
  store(index, _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high)), 4));
  if (steps == 8) store(index + 16, _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(low, high)), 4));
}

/// How the next steps' bytes lie, at every fourth step: one behind the other for eight or four steps, or anywhere (0).
class StepLayout {
 public:
  explicit StepLayout(const DirectCall& call) {
    const std::int64_t groups = call.steps / 4;
    const auto behind = [&](std::int64_t k) { return call.offsets[k + 1] == call.offsets[k] + 2; };
    bool behind_last = false;
    for (std::int64_t i = groups - 1; i >= 0; --i) {
      const std::int64_t k = i * 4;
      const bool four = behind(k) && behind(k + 1) && behind(k + 2);
      steps_[i] = !four ? 0 : i + 1 < groups && behind_last && behind(k + 3) ? 8 : 4;
      behind_last = four;
    }
    if (call.steps % 4 != 0) steps_[groups] = 0;
  }
  std::int64_t steps(std::int64_t k) const { return steps_[k / 4]; }

 private:
  std::uint8_t steps_[most_steps / 4];
};

/// Two rows of the call. index: room for a multiple of four steps.
void index_pair(const DirectCall& call, const StepLayout& layout, const DirectRow* rows, std::uint16_t* index) {
  const std::int64_t* const offsets = call.offsets;
  for (std::int64_t k = 0; k < call.steps;) {
    const std::int64_t at = offsets[k], steps = layout.steps(k);
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
  // For two or three rows tables cost more than they save.
  if (lookup.lookups != 2 || lookup.byte_units < 255 / (pair_entry * 4) || call.row_count < 4 ||
      call.steps > std::min(most_steps, lookup.word_units))
    return 0;
  const std::int64_t stride = (call.steps + 3) / 4 * 16;
  const Tables tables(lookup);
  const StepLayout layout(call);
  alignas(64) std::uint16_t index[index_room];
  const std::int64_t pairs = call.row_count / 2, most = stride == 0 ? pairs : index_room / stride / 2 * 2;
  for (std::int64_t first = 0; first < pairs; first += most) {
    const std::int64_t end = std::min(pairs, first + most);
    for (std::int64_t pair = first; pair < end; ++pair)
      index_pair(call, layout, call.rows + pair * 2, index + (pair - first) * stride);
    const Block block{call, tables, index, stride, first};
    for (std::int64_t p = 0; p < call.panel_count; p += 2)
      pair_panels(block, end, p, std::min<std::int64_t>(2, call.panel_count - p));
  }
  return pairs * 2;
}

}  // namespace nnq::avx2
