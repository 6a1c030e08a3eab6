// What the inspections of graphs and of programs share.
#pragma once

#include "cli/inspection.h"

namespace nnq::cli {

/// The type of an input with the shape given for it, or with a free leading dimension set to 1.
ValueType fixed_type(const std::string& name, ValueType type, const std::map<std::string, Shape>& shapes);
/// Output shape of a row; a free leading dimension becomes 1.
void set_shape(LayerRow& row, const ValueType& type);
/// Appends a row and adds it to the totals.
void add_row(Inspection& result, LayerRow row);
/// "binary" (-s, +s), "uniform" (scales double from plane to plane) or "bit planes"; scale [groups * bits].
std::string plane_encoding(const std::vector<float>& scale, const std::vector<float>& offset, int bits);

}  // namespace nnq::cli
