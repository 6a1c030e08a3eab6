// The rows that run everywhere: C++ that compilers turn into the baseline's vectors.
#include <algorithm>
#include <cstring>

#include "kernels/direct/direct.h"
#include "kernels/portable_dot.h"
#include "kernels/portable_popcount.h"

namespace nnq::portable {

void direct_int8(const DirectCall& call) noexcept {
  DotBlock block;
  for (std::int64_t r0 = 0; r0 < call.row_count; r0 += dot_rows) {
    const std::int64_t rows = std::min(dot_rows, call.row_count - r0);
    std::int32_t* const sums = call.sums + r0 * call.stride;
    for (std::int64_t r = 0; r < rows; ++r)
      std::copy_n(call.rows[r0 + r].start, call.panel_count * direct_panel, sums + r * call.stride);
    for (std::int64_t k = 0; k < call.steps; k += dot_units) {
      const std::int64_t units = std::min(dot_units, call.steps - k), depth = dot_padded(units);
      for (std::int64_t r = 0; r < rows; ++r)
        dot_widen_row(call.rows[r0 + r].data, call.offsets + k, units, block.a[r]);
      for (std::int64_t p = 0; p < call.panel_count; ++p) {
        dot_widen_panel(reinterpret_cast<const std::int8_t*>(call.panels) + (p * call.steps + k) * 64, units, block);
        dot_add(block, rows, depth, sums + p * direct_panel, call.stride);
      }
    }
  }
}

namespace {

/// sums = start - 2 * mismatches of each output, of the bits that mask(panel, k) leaves of a vector of words.
template <std::int64_t Planes, class Mask>
void count_mismatches(const DirectCall& call, Mask&& mask) {
  Words4 x[count_words];  // each word of the row in all lanes, for all outputs
  for (std::int64_t r = 0; r < call.row_count; ++r) {
    const DirectRow& row = call.rows[r];
    std::int32_t* const sums = call.sums + r * call.stride;
    std::copy_n(row.start, call.panel_count * direct_panel, sums);
    for (std::int64_t first = 0; first < call.steps; first += count_words) {
      const std::int64_t words = std::min(count_words, call.steps - first);
      for (std::int64_t k = 0; k < words; ++k) {
        std::uint32_t word;
        std::memcpy(&word, row.data + call.offsets[first + k], 4);
        x[k] = Words4{} + word;
      }
      for (std::int64_t o = 0; o < call.panel_count * direct_panel; o += 4) {
        const std::uint8_t* w = call.panels + (o / 16 * Planes * call.steps + first) * 64 + o % 16 * 4;
        const Words4 mismatches =
            count_bits(words, [&](std::int64_t k) { return mask(w, k, x[k] ^ load_vector<Words4>(w + k * 64)); });
        for (std::int64_t i = 0; i < 4; ++i) sums[o + i] -= static_cast<std::int32_t>(2 * mismatches[i]);
      }
    }
  }
}

}  // namespace

void direct_binary(const DirectCall& call) noexcept {
  count_mismatches<1>(call, [](const std::uint8_t*, std::int64_t, Words4 differ) { return differ; });
}

void direct_ternary(const DirectCall& call) noexcept {
  const std::int64_t plane = call.steps * 64;
  count_mismatches<2>(call, [plane](const std::uint8_t* w, std::int64_t k, Words4 differ) {
    return differ & load_vector<Words4>(w + plane + k * 64);
  });
}

void direct_lookup(const DirectCall& call) noexcept {
  const LookupTables& lookup = *call.lookup;
  constexpr int outputs = 32;
  const std::int64_t unit = 2 * lookup.lookups * outputs;
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    for (std::int64_t r = 0; r < call.row_count; ++r) {
      const DirectRow& row = call.rows[r];
      std::int32_t sum[outputs] = {};
      const std::uint8_t* w = call.panels + p * call.steps * unit;
      for (std::int64_t k = 0; k < call.steps; ++k) {
        for (int byte = 0; byte < 2; ++byte) {
          const std::uint8_t* table = lookup.tables + row.data[call.offsets[k] + byte] * 16 * lookup.lookups;
          for (int l = 0; l < lookup.lookups; ++l, w += outputs, table += 16) {
            for (int o = 0; o < outputs; ++o) sum[o] += table[w[o]];
          }
        }
      }
      for (int o = 0; o < outputs; ++o)
        call.sums[r * call.stride + p * outputs + o] = row.start[p * outputs + o] + (sum[o] << lookup.shift);
    }
  }
}

void direct_triples(const DirectCall& call) noexcept {
  constexpr int outputs = 64;
  const LookupTables& lookup = *call.lookup;
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    for (std::int64_t r = 0; r < call.row_count; ++r) {
      const DirectRow& row = call.rows[r];
      std::int32_t sum[outputs] = {};
      const std::uint8_t* w = call.panels + p * call.steps * 3 * outputs;
      for (std::int64_t k = 0; k < call.steps; ++k) {
        const std::uint8_t* const unit = row.data + call.offsets[k];
        const unsigned codes = unit[0] | static_cast<unsigned>(unit[1]) << 8;
        for (int l = 0; l < 3; ++l, w += outputs) {
          const std::uint8_t* const table = lookup.tables + (codes >> (6 * l) & 63) * 64;
          for (int o = 0; o < outputs; ++o) sum[o] += table[w[o]];
        }
      }
      for (int o = 0; o < outputs; ++o)
        call.sums[r * call.stride + p * outputs + o] = row.start[p * outputs + o] + (sum[o] << lookup.shift);
    }
  }
}

void pack_codes(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t count, int shift) noexcept {
  for (std::int64_t i = 0; i < count; i += 8, packed += 2) {
    for (std::int64_t b = 0; b < 2; ++b) {
      unsigned byte = 0;
      for (std::int64_t c = 0; c < 4; ++c) {
        const std::int64_t at = i + b * 4 + c;
        if (at < count) byte |= (static_cast<unsigned>(codes[at]) >> shift & 3u) << (2 * c);
      }
      packed[b] = static_cast<std::uint8_t>(byte);
    }
  }
}

}  // namespace nnq::portable
