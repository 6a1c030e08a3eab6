// Set bits of many words without an instruction that counts them, on vectors of 16 bytes: carry-save adders turn four
// words into one word of fours and running ones and twos (15 operations), so that only a quarter of the words is
// counted byte by byte (Harley and Seal).
#pragma once

#include "kernels/portable_vector.h"

namespace nnq::portable {

/// Words that one call of count_bits may count: 31 groups of four, 8 fours a group and byte.
inline constexpr std::int64_t count_words = 124;

/// Bits set in each byte.
inline Words4 bits_of_bytes(Words4 v) {
  v -= v >> 1 & 0x55555555;
  v = (v & 0x33333333) + (v >> 2 & 0x33333333);
  return (v + (v >> 4)) & 0x0f0f0f0f;
}

/// The four bytes of each lane added up.
inline Words4 add_bytes(Words4 v) {
  v = (v & 0x00ff00ff) + (v >> 8 & 0x00ff00ff);
  return (v & 0xffff) + (v >> 16);
}

/// sum + 2 * carry = a + b + c, bit by bit.
inline void add_bits(Words4 a, Words4 b, Words4 c, Words4& sum, Words4& carry) {
  const Words4 half = a ^ b;
  carry = (a & b) | (half & c);
  sum = half ^ c;
}

/// Set bits of word(0) .. word(n - 1), lane by lane; n <= count_words.
template <class Word>
inline Words4 count_bits(std::int64_t n, Word&& word) {
  Words4 ones = {}, twos = {}, fours = {};
  std::int64_t k = 0;
  for (; k + 4 <= n; k += 4) {
    Words4 carry0, carry1, four;
    add_bits(ones, word(k), word(k + 1), ones, carry0);
    add_bits(ones, word(k + 2), word(k + 3), ones, carry1);
    add_bits(twos, carry0, carry1, twos, four);
    fours += bits_of_bytes(four);
  }
  Words4 rest = bits_of_bytes(ones) + (bits_of_bytes(twos) << 1);  // at most 24, and 8 for each word below
  for (; k < n; ++k) rest += bits_of_bytes(word(k));
  return (add_bytes(fours) << 2) + add_bytes(rest);
}

}  // namespace nnq::portable
