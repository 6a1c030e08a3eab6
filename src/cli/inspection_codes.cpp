// Codes of packed weights: what they are, and what an entropy coder would make of them.
#include <algorithm>

#include "cli/inspection_parts.h"
#include "nnq/encoding.h"
#include "pack/huffman.h"

namespace nnq::cli {

void add_codes(LayerRow& row, std::span<const std::uint8_t> planes, int bits, std::int64_t count) {
  const std::vector<std::uint8_t> codes = unpack_planes(planes, bits, count);
  const SymbolCounts counts = count_symbols(codes);
  row.code_counts.resize(counts.size(), 0);
  for (std::size_t s = 0; s < counts.size(); ++s) row.code_counts[s] += counts[s];
  row.code_bytes += static_cast<std::int64_t>(planes.size());
}

void set_entropy(Inspection& result) {
  SymbolCounts all{};
  std::uint64_t weights = 0;
  for (const LayerRow& row : result.layers) {
    for (std::size_t s = 0; s < row.code_counts.size(); ++s) {
      all[s] += row.code_counts[s];
      weights += row.code_counts[s];
    }
  }
  if (weights == 0) return;
  const HuffmanCode code = huffman_code(all);
  const auto coded_bytes = [&](const SymbolCounts& counts) {
    return static_cast<std::int64_t>((huffman_bits(counts, code) + 7) / 8);
  };
  std::int64_t packed = 0;
  for (LayerRow& row : result.layers) {
    packed += row.code_bytes;
    SymbolCounts own{};
    std::copy(row.code_counts.begin(), row.code_counts.end(), own.begin());
    row.entropy_bytes = row.bytes - row.code_bytes + coded_bytes(own);
  }
  const auto table = static_cast<std::int64_t>(write_huffman_table(code).size());
  result.entropy_bytes = result.bytes - packed + coded_bytes(all) + table;
  result.code_bits = static_cast<double>(huffman_bits(all, code)) / static_cast<double>(weights);
}

void name_packed(LayerRow& row, const Node& maker, const std::function<const Tensor*(std::size_t)>& constant,
                 bool count_them) {
  const Tensor* planes = constant(0);
  const bool bit_planes = maker.is("BitPlanes", kNnqDomain);
  const Tensor* shape = constant(bit_planes ? 3 : maker.is("Codebook", kNnqDomain) ? 2 : 4);
  if (planes == nullptr || planes->rank() != 2) return;
  row.weight_bits = row.planes = static_cast<int>(planes->shape()[0]);
  row.encoding = "codebook";
  if (bit_planes && constant(1) != nullptr && constant(2) != nullptr)
    row.encoding = plane_encoding(constant(1)->to_float(), constant(2)->to_float(), row.weight_bits);
  if (maker.is("BucketCodebook", kNnqDomain))
    row.encoding = "codebook, buckets of " + std::to_string(maker.get_int("bucket", 0));
  if (!count_them || shape == nullptr || shape->dtype() != DType::i64 || planes->dtype() != DType::u8) return;
  const auto dims = shape->values<std::int64_t>();
  const auto count = checked_count(Shape(dims.begin(), dims.end()));
  if (count) add_codes(row, planes->values<std::uint8_t>(), row.weight_bits, *count);
}

}  // namespace nnq::cli
