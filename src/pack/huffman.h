// Canonical Huffman codes over bytes: the entropy-coded size of quantized weights (Polino et al. 2018; Han et al.
// 2016).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "nnq/status.h"

namespace nnq {

/// How often each symbol occurs.
using SymbolCounts = std::array<std::uint64_t, 256>;

/// A prefix code, canonical: its lengths are the whole of it. Words of one length are consecutive numbers in the order
/// of the symbols, and longer words come after shorter ones.
struct HuffmanCode {
  static constexpr int kLongest = 32;
  std::array<std::uint8_t, 256> lengths{};  // bits of each symbol's word, at most kLongest; 0: the symbol has none

  /// Every sequence of bits is read in one way (Kraft's sum is 1); a code of one symbol has the word 0.
  Status check() const;
};

SymbolCounts count_symbols(std::span<const std::uint8_t> symbols);

/// The best code for these counts with words of at most kLongest bits (package-merge; Larmore, Hirschberg 1990). A
/// single symbol gets one bit; no symbol gives a code without words.
HuffmanCode huffman_code(const SymbolCounts& counts);

/// Bits that symbols with these counts take in the code, without its table.
std::uint64_t huffman_bits(const SymbolCounts& counts, const HuffmanCode& code);

/// The code as bytes: the number of lengths that follow less one (behind the last symbol used), then one length a byte.
std::vector<std::uint8_t> write_huffman_table(const HuffmanCode& code);
/// Reads what write_huffman_table() wrote; `used` is the number of bytes it took.
Status read_huffman_table(std::span<const std::uint8_t> bytes, HuffmanCode& code, std::size_t& used);

/// Words one behind the other, most significant bit first in each byte; the last byte is filled with zeros. Every
/// symbol must have a word.
Status huffman_encode(std::span<const std::uint8_t> symbols, const HuffmanCode& code, std::vector<std::uint8_t>& bytes);
/// `count` symbols from all of `bytes`. Refuses bytes that are too few, too many, or hold no word of the code.
Status huffman_decode(std::span<const std::uint8_t> bytes, const HuffmanCode& code, std::uint64_t count,
                      std::vector<std::uint8_t>& symbols);

}  // namespace nnq
