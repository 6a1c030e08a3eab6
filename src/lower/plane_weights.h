// Packed weights of a graph as bit planes with real scales.
#pragma once

#include <string>
#include <vector>

#include "lower/lowering.h"
#include "lower/plane_form.h"

namespace nnq::lower_room {

/// One form an output channel or one for all, and the bits of every element in ONNX order.
struct PlaneWeights {
  std::vector<PlaneForm> forms;
  std::vector<std::uint8_t> bits;
  Shape shape;
  int nominal_bits = 0;  // of the encoding; levels that are no sums take more planes
};

/// Reads what a BitPlanes or Codebook node packs. nullptr, or why it has no planes.
const char* read_planes(const Lowering& l, const Lowering::Unpacked& packed, PlaneWeights& weights);

/// Bits (in the program's order) and scales of `outputs` rows.
void fill_planes(const PlaneWeights& w, const std::vector<std::uint8_t>& bits, std::int64_t outputs,
                 PackedWeights& packed, RealPlanes& planes);

/// A matrix with one row for each output behind a graph value: packed weights, perhaps scaled by row (Affine), turned
/// (Transpose) or with a dimension of 1 in front (Unsqueeze).
struct PlaneMatrix {
  PackedWeights weights;
  RealPlanes planes;
  std::int64_t rows = 0, columns = 0;
};
/// `outputs_first`: whether the first dimension of the value itself is the outputs. Why not, or nothing. whole: for
/// products with uniform vectors; weights that are whole numbers times a scale a row stay such (docs/program.md).
std::string read_matrix(const Lowering& l, const std::string& value, bool outputs_first, PlaneMatrix& matrix,
                        bool whole = false);

}  // namespace nnq::lower_room
