#include "pack/huffman.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "core/random.h"

namespace nnq {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t total(const SymbolCounts& counts) {
  std::uint64_t sum = 0;
  for (const std::uint64_t c : counts) sum += c;
  return sum;
}

double mean_length(const SymbolCounts& counts) {
  return static_cast<double>(huffman_bits(counts, huffman_code(counts))) / static_cast<double>(total(counts));
}

double entropy(const SymbolCounts& counts) {
  double bits = 0;
  for (const std::uint64_t c : counts) {
    const double p = static_cast<double>(c) / static_cast<double>(total(counts));
    if (c > 0) bits -= p * std::log2(p);
  }
  return bits;
}

// Sheet of Polino et al. 2018, item 4: frequencies .1 .4 .4 .1 have words of 1, 2, 3 and 3 bits, 1.8 on average.
TEST(Huffman, TheSheetsFrequencies) {
  SymbolCounts counts{};
  counts[0] = counts[3] = 1;
  counts[1] = counts[2] = 4;
  const HuffmanCode code = huffman_code(counts);
  Bytes lengths(code.lengths.begin(), code.lengths.begin() + 4);
  std::sort(lengths.begin(), lengths.end());
  EXPECT_EQ(lengths, (Bytes{1, 2, 3, 3}));
  EXPECT_DOUBLE_EQ(mean_length(counts), 1.8);
  EXPECT_NEAR(entropy(counts), 1.7219, 5e-5);
}

TEST(Huffman, WordsAreCanonical) {
  SymbolCounts counts{};
  counts[5] = 1;
  counts[7] = 1;
  counts[9] = 2;
  const HuffmanCode code = huffman_code(counts);
  Bytes bytes;
  ASSERT_TRUE(huffman_encode(Bytes{9, 5, 7, 9}, code, bytes).ok());
  EXPECT_EQ(bytes, (Bytes{0b01011000}));  // 9: 0, 5: 10, 7: 11
  EXPECT_EQ(write_huffman_table(code), (Bytes{9, 0, 0, 0, 0, 0, 2, 0, 2, 0, 1}));
}

TEST(Huffman, WithinOneBitOfTheEntropyAndReadBack) {
  for (const std::size_t symbols : {1u, 2u, 3u, 16u, 100u, 256u}) {
    for (const std::size_t count : {1u, 2u, 7u, 1000u, 20000u}) {
      Random random(symbols * 31 + count);
      Bytes data(count);
      for (std::uint8_t& s : data) {  // the smaller of two: far from uniform
        s = static_cast<std::uint8_t>(std::min(random.below(symbols), random.below(symbols)));
      }
      const SymbolCounts counts = count_symbols(data);
      const HuffmanCode code = huffman_code(counts);
      ASSERT_TRUE(code.check().ok());
      EXPECT_GE(mean_length(counts), entropy(counts) - 1e-12);
      EXPECT_LE(mean_length(counts), entropy(counts) + 1);
      Bytes bytes, back;
      ASSERT_TRUE(huffman_encode(data, code, bytes).ok());
      EXPECT_EQ(bytes.size(), (huffman_bits(counts, code) + 7) / 8);
      const Bytes table = write_huffman_table(code);
      HuffmanCode read;
      std::size_t used = 0;
      ASSERT_TRUE(read_huffman_table(table, read, used).ok());
      EXPECT_EQ(used, table.size());
      EXPECT_EQ(read.lengths, code.lengths);
      ASSERT_TRUE(huffman_decode(bytes, read, count, back).ok());
      EXPECT_EQ(back, data);
    }
  }
}

TEST(Huffman, AsShortAsTheTreeOfRepeatedMerging) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    SymbolCounts counts{};
    std::multiset<std::uint64_t> nodes;
    const std::size_t symbols = 2 + random.below(60);
    for (std::size_t s = 0; s < symbols; ++s) nodes.insert(counts[s] = 1 + random.below(1 + seed * seed));
    const HuffmanCode code = huffman_code(counts);
    std::uint64_t bits = 0;
    while (nodes.size() > 1) {
      const std::uint64_t sum = *nodes.begin() + *std::next(nodes.begin());
      nodes.erase(nodes.begin(), std::next(nodes.begin(), 2));
      nodes.insert(sum);
      bits += sum;
    }
    EXPECT_EQ(huffman_bits(counts, code), bits) << seed;
  }
}

TEST(Huffman, NothingHasACodeWithoutWords) {
  const HuffmanCode code = huffman_code(SymbolCounts{});
  EXPECT_TRUE(code.check().ok());
  Bytes bytes, back;
  EXPECT_TRUE(huffman_encode({}, code, bytes).ok());
  EXPECT_TRUE(bytes.empty());
  EXPECT_TRUE(huffman_decode(bytes, code, 0, back).ok());
  EXPECT_FALSE(huffman_encode(Bytes{1}, code, bytes).ok());
}

// Fibonacci numbers make the deepest tree: without a limit the words would have up to 69 bits.
TEST(Huffman, WordsAreLimitedInLength) {
  SymbolCounts counts{};
  std::uint64_t a = 1, b = 1;
  for (std::size_t s = 0; s < 70; ++s) {
    counts[s] = a;
    b += a;
    std::swap(a, b);
  }
  const HuffmanCode code = huffman_code(counts);
  EXPECT_TRUE(code.check().ok());
  EXPECT_EQ(*std::max_element(code.lengths.begin(), code.lengths.end()), HuffmanCode::kLongest);
  // Without the limit: the square of the golden ratio.
  EXPECT_NEAR(mean_length(counts), 2.618034, 1e-5);
  Bytes bytes, back, data(70);
  for (std::size_t s = 0; s < 70; ++s) data[s] = static_cast<std::uint8_t>(s);
  ASSERT_TRUE(huffman_encode(data, code, bytes).ok());
  ASSERT_TRUE(huffman_decode(bytes, code, 70, back).ok());
  EXPECT_EQ(back, data);
}

TEST(Huffman, HostileTablesAreRefused) {
  HuffmanCode code;
  std::size_t used = 0;
  EXPECT_FALSE(read_huffman_table({}, code, used).ok());
  EXPECT_FALSE(read_huffman_table(Bytes{2, 1, 1}, code, used).ok());     // cut off
  EXPECT_FALSE(read_huffman_table(Bytes{2, 1, 1, 1}, code, used).ok());  // three words of one bit
  EXPECT_FALSE(read_huffman_table(Bytes{1, 1, 2}, code, used).ok());     // some bits mean nothing
  EXPECT_FALSE(read_huffman_table(Bytes{0, 2}, code, used).ok());        // a single word longer than one bit
  EXPECT_FALSE(read_huffman_table(Bytes{1, 33, 1}, code, used).ok());    // too long
  EXPECT_FALSE(read_huffman_table(Bytes{1, 255, 255}, code, used).ok());
  EXPECT_FALSE(read_huffman_table(Bytes(257, 8), code, used).ok());
  EXPECT_TRUE(read_huffman_table(Bytes{1, 1, 1, 77}, code, used).ok());  // what follows is not the table's
  EXPECT_EQ(used, 3u);
}

TEST(Huffman, HostileBitsAreRefused) {
  SymbolCounts one{}, four{};
  one[3] = 1;
  four[0] = four[1] = four[2] = four[3] = 1;
  Bytes back;
  EXPECT_FALSE(huffman_decode(Bytes{0x80}, huffman_code(one), 1, back).ok());  // 1 is no word
  EXPECT_FALSE(huffman_decode(Bytes{0x01}, huffman_code(one), 1, back).ok());  // not filled with zeros
  EXPECT_TRUE(huffman_decode(Bytes{0x00}, huffman_code(one), 8, back).ok());
  EXPECT_EQ(back, Bytes(8, 3));
  EXPECT_FALSE(huffman_decode(Bytes{0x00}, huffman_code(one), 9, back).ok());
  EXPECT_FALSE(huffman_decode(Bytes{0x1b}, huffman_code(four), 5, back).ok());        // the bits end
  EXPECT_FALSE(huffman_decode(Bytes{0x1b, 0x00}, huffman_code(four), 4, back).ok());  // a byte too many
  EXPECT_FALSE(huffman_decode({}, huffman_code(four), 1, back).ok());
  EXPECT_FALSE(huffman_decode(Bytes{0x1b}, huffman_code(four), ~std::uint64_t{0}, back).ok());
  HuffmanCode broken;
  broken.lengths[0] = 200;
  EXPECT_FALSE(huffman_decode(Bytes{0}, broken, 1, back).ok());
  EXPECT_FALSE(huffman_encode(Bytes{0}, broken, back).ok());
  Random random(9);
  for (int i = 0; i < 2000; ++i) {  // any bytes as table and bits: refused or read, never a crash
    Bytes bytes(random.below(40));
    for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random.below(random.below(2) == 0 ? 4 : 256));
    HuffmanCode code;
    std::size_t used = 0;
    if (!read_huffman_table(bytes, code, used).ok()) continue;
    const std::span<const std::uint8_t> rest = std::span<const std::uint8_t>(bytes).subspan(used);
    if (huffman_decode(rest, code, random.below(100), back).ok()) {
      EXPECT_LE(back.size(), rest.size() * 8);
    }
  }
}

}  // namespace
}  // namespace nnq
