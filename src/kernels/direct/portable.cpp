// The reference rows: plain C++ that says what the others must compute.
#include <bit>

#include "kernels/direct/direct.h"

namespace nnq::portable {

void direct_int8(const DirectCall& call) noexcept {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const auto* panel = reinterpret_cast<const std::int8_t*>(call.panels) + p * call.steps * 64;
    for (std::int64_t r = 0; r < call.row_count; ++r) {
      const DirectRow& row = call.rows[r];
      std::int32_t sum[16];
      for (int o = 0; o < 16; ++o) sum[o] = row.start[p * 16 + o];
      for (std::int64_t k = 0; k < call.steps; ++k) {
        const std::uint8_t* a = row.data + call.offsets[k];
        const std::int32_t a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
        if ((a0 | a1 | a2 | a3) == 0) continue;  // zero activations are common behind a ReLU
        const std::int8_t* w = panel + k * 64;
        for (int o = 0; o < 16; ++o)
          sum[o] += a0 * w[4 * o] + a1 * w[4 * o + 1] + a2 * w[4 * o + 2] + a3 * w[4 * o + 3];
      }
      for (int o = 0; o < 16; ++o) call.sums[r * call.stride + p * 16 + o] = sum[o];
    }
  }
}

void direct_binary(const DirectCall& call) noexcept {
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    const std::uint8_t* panel = call.panels + p * call.steps * 64;
    for (std::int64_t r = 0; r < call.row_count; ++r) {
      const DirectRow& row = call.rows[r];
      std::int32_t mismatches[16] = {};
      std::int64_t k = 0;
      for (; k + 2 <= call.steps; k += 2) {  // two steps a count: without an instruction for it that is what costs
        std::uint32_t low, high, w[32];
        __builtin_memcpy(&low, row.data + call.offsets[k], 4);
        __builtin_memcpy(&high, row.data + call.offsets[k + 1], 4);
        __builtin_memcpy(w, panel + k * 64, 128);
        for (int o = 0; o < 16; ++o)
          mismatches[o] += std::popcount((low ^ w[o]) | static_cast<std::uint64_t>(high ^ w[16 + o]) << 32);
      }
      for (; k < call.steps; ++k) {
        std::uint32_t x, w[16];
        __builtin_memcpy(&x, row.data + call.offsets[k], 4);
        __builtin_memcpy(w, panel + k * 64, 64);
        for (int o = 0; o < 16; ++o) mismatches[o] += std::popcount(x ^ w[o]);
      }
      for (int o = 0; o < 16; ++o) call.sums[r * call.stride + p * 16 + o] = row.start[p * 16 + o] - 2 * mismatches[o];
    }
  }
}

void direct_lookup(const DirectCall& call) noexcept {
  const LookupTables& lookup = *call.lookup;
  const std::int64_t unit = 2 * lookup.lookups * lookup_panel;
  for (std::int64_t p = 0; p < call.panel_count; ++p) {
    for (std::int64_t r = 0; r < call.row_count; ++r) {
      const DirectRow& row = call.rows[r];
      std::int32_t sum[lookup_panel] = {};
      const std::uint8_t* w = call.panels + p * call.steps * unit;
      for (std::int64_t k = 0; k < call.steps; ++k) {
        for (int byte = 0; byte < 2; ++byte) {
          const std::uint8_t* table = lookup.tables + row.data[call.offsets[k] + byte] * 16 * lookup.lookups;
          for (int l = 0; l < lookup.lookups; ++l, w += lookup_panel, table += 16) {
            for (int o = 0; o < lookup_panel; ++o) sum[o] += table[w[o]];
          }
        }
      }
      for (int o = 0; o < lookup_panel; ++o)
        call.sums[r * call.stride + p * lookup_panel + o] = row.start[p * lookup_panel + o] + (sum[o] << lookup.shift);
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
