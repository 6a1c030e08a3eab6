// What the inspections of graphs and of programs share.
#pragma once

#include <functional>
#include <span>

#include "cli/inspection.h"

namespace nnq::cli {

/// The type of an input with the shape given for it, or with a free leading dimension set to 1.
ValueType fixed_type(const std::string& name, ValueType type, const std::map<std::string, Shape>& shapes);
/// Output shape of a row; a free leading dimension becomes 1.
void set_shape(LayerRow& row, const ValueType& type);
/// Appends a row and adds it to the totals.
void add_row(Inspection& result, LayerRow row);
/// Counts the codes of a packed weight, planes [bits, bytes], of `count` elements for the row.
void add_codes(LayerRow& row, std::span<const std::uint8_t> planes, int bits, std::int64_t count);
/// Sets what the codes would take in one Huffman code for the whole model.
void set_entropy(Inspection& result);
/// Encoding and bits of the weight that a BitPlanes, Codebook or BucketCodebook node makes; `constant(i)` is its input
/// i or nullptr. Counts its codes when `count_them`.
void name_packed(LayerRow& row, const Node& maker, const std::function<const Tensor*(std::size_t)>& constant,
                 bool count_them);
/// "binary" (-s, +s), "uniform" (scales double from plane to plane) or "bit planes"; scale [groups * bits].
std::string plane_encoding(const std::vector<float>& scale, const std::vector<float>& offset, int bits);

}  // namespace nnq::cli
