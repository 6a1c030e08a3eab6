#include "pack/huffman.h"

#include <algorithm>

namespace nnq {
namespace {

constexpr int kLongest = HuffmanCode::kLongest;

/// Words of a canonical code by length.
struct Canonical {
  std::array<std::uint32_t, kLongest + 1> count{};  // words of this length
  std::array<std::uint64_t, kLongest + 2> first{};  // the smallest of them
  std::array<std::uint32_t, kLongest + 2> index{};  // of its symbol in `symbols`
  std::array<std::uint64_t, 256> word{};            // of each symbol
  std::vector<std::uint8_t> symbols;                // by length, then by number

  explicit Canonical(const HuffmanCode& code) {
    for (const std::uint8_t length : code.lengths) {
      if (length > 0) ++count[length];
    }
    for (std::size_t length = 1; length <= kLongest; ++length) {
      first[length + 1] = (first[length] + count[length]) << 1;
      index[length + 1] = index[length] + count[length];
      std::uint64_t next = first[length];
      for (std::size_t s = 0; s < 256; ++s) {
        if (code.lengths[s] != length) continue;
        word[s] = next++;
        symbols.push_back(static_cast<std::uint8_t>(s));
      }
    }
  }
};

/// A symbol, or several packed together.
struct Package {
  std::uint64_t weight = 0;
  std::vector<std::uint8_t> symbols;
};

}  // namespace

Status HuffmanCode::check() const {
  std::uint64_t sum = 0, words = 0;
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    NNQ_REQUIRE(lengths[s] <= kLongest, "the word of symbol ", s, " has ", static_cast<int>(lengths[s]),
                " bits, at most ", kLongest, " are allowed");
    if (lengths[s] == 0) continue;
    ++words;
    sum += std::uint64_t{1} << (kLongest - lengths[s]);
  }
  const std::uint64_t whole = std::uint64_t{1} << kLongest;
  const bool single = words == 1 && sum == whole / 2;
  NNQ_REQUIRE(words == 0 || single || sum == whole, "the lengths are those of no complete prefix code");
  return {};
}

SymbolCounts count_symbols(std::span<const std::uint8_t> symbols) {
  SymbolCounts counts{};
  for (const std::uint8_t s : symbols) ++counts[s];
  return counts;
}

HuffmanCode huffman_code(const SymbolCounts& counts) {
  std::vector<Package> leaves;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] > 0) leaves.push_back({counts[s], {static_cast<std::uint8_t>(s)}});
  }
  HuffmanCode code;
  if (leaves.size() == 1) code.lengths[leaves[0].symbols[0]] = 1;
  if (leaves.size() < 2) return code;
  const auto lighter = [](const Package& a, const Package& b) { return a.weight < b.weight; };
  std::stable_sort(leaves.begin(), leaves.end(), lighter);
  std::vector<Package> row = leaves;
  for (int level = 1; level < kLongest; ++level) {
    std::vector<Package> pairs, next;
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      Package pair = row[i];
      pair.weight += row[i + 1].weight;
      pair.symbols.insert(pair.symbols.end(), row[i + 1].symbols.begin(), row[i + 1].symbols.end());
      pairs.push_back(std::move(pair));
    }
    std::merge(leaves.begin(), leaves.end(), pairs.begin(), pairs.end(), std::back_inserter(next), lighter);
    row = std::move(next);
  }
  // A symbol's length is the number of the lightest 2 n - 2 packages that hold it.
  for (std::size_t i = 0; i < 2 * leaves.size() - 2; ++i) {
    for (const std::uint8_t s : row[i].symbols) ++code.lengths[s];
  }
  return code;
}

std::uint64_t huffman_bits(const SymbolCounts& counts, const HuffmanCode& code) {
  std::uint64_t bits = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) bits += counts[s] * code.lengths[s];
  return bits;
}

std::vector<std::uint8_t> write_huffman_table(const HuffmanCode& code) {
  std::size_t count = 1;
  for (std::size_t s = 0; s < code.lengths.size(); ++s) {
    if (code.lengths[s] > 0) count = s + 1;
  }
  std::vector<std::uint8_t> bytes(count + 1);
  bytes[0] = static_cast<std::uint8_t>(count - 1);
  for (std::size_t i = 0; i < count; ++i) bytes[i + 1] = code.lengths[i];
  return bytes;
}

Status read_huffman_table(std::span<const std::uint8_t> bytes, HuffmanCode& code, std::size_t& used) {
  NNQ_REQUIRE(!bytes.empty() && bytes.size() >= std::size_t{2} + bytes[0], "the code's table is cut off");
  code = {};
  used = std::size_t{2} + bytes[0];
  std::copy(bytes.begin() + 1, bytes.begin() + static_cast<std::ptrdiff_t>(used), code.lengths.begin());
  return code.check();
}

Status huffman_encode(std::span<const std::uint8_t> symbols, const HuffmanCode& code,
                      std::vector<std::uint8_t>& bytes) {
  NNQ_TRY(code.check());
  const Canonical canonical(code);
  bytes.clear();
  std::uint64_t buffer = 0;
  int held = 0;  // bits of the buffer that are not written yet, below 8 between symbols
  for (const std::uint8_t s : symbols) {
    const int length = code.lengths[s];
    NNQ_REQUIRE(length > 0, "symbol ", static_cast<int>(s), " has no word");
    buffer = (buffer << length) | canonical.word[s];
    held += length;
    for (; held >= 8; held -= 8) bytes.push_back(static_cast<std::uint8_t>(buffer >> (held - 8)));
  }
  if (held > 0) bytes.push_back(static_cast<std::uint8_t>(buffer << (8 - held)));
  return {};
}

Status huffman_decode(std::span<const std::uint8_t> bytes, const HuffmanCode& code, std::uint64_t count,
                      std::vector<std::uint8_t>& symbols) {
  NNQ_TRY(code.check());
  const Canonical canonical(code);
  const std::uint64_t available = static_cast<std::uint64_t>(bytes.size()) * 8;
  NNQ_REQUIRE(count <= available, available, " bits do not hold ", count, " symbols");  // before any memory is taken
  symbols.clear();
  symbols.reserve(count);
  std::uint64_t position = 0;
  for (std::uint64_t n = 0; n < count; ++n) {
    std::uint64_t word = 0;
    std::size_t length = 0;
    for (;;) {
      NNQ_REQUIRE(position < available, "the bits end inside symbol ", n, " of ", count);
      NNQ_REQUIRE(length < kLongest, "the bits of symbol ", n, " are no word of the code");
      word = word << 1 | ((bytes[position / 8] >> (7 - position % 8)) & 1U);
      ++position;
      ++length;
      if (canonical.count[length] > 0 && word >= canonical.first[length] &&
          word - canonical.first[length] < canonical.count[length])
        break;
    }
    symbols.push_back(canonical.symbols[canonical.index[length] + (word - canonical.first[length])]);
  }
  NNQ_REQUIRE((position + 7) / 8 == bytes.size(), "bytes are left over behind ", count, " symbols");
  for (; position < available; ++position)
    NNQ_REQUIRE(((bytes[position / 8] >> (7 - position % 8)) & 1U) == 0, "the last byte is not filled with zeros");
  return {};
}

}  // namespace nnq
