#include "lower/plane_weights.h"

#include <algorithm>
#include <cmath>

#include "nnq/encoding.h"

namespace nnq::lower_room {
namespace {

/// One form a group from the inputs of a BitPlanes or Codebook node.
std::vector<PlaneForm> forms_of(const Lowering& l, const Node& maker, const std::vector<std::uint8_t>& codes) {
  const Tensor& table = *l.constant(maker, 1);  // plane scales or levels, [groups, n]
  const std::int64_t groups = table.shape()[0], n = table.shape()[1];
  const std::size_t each = codes.size() / static_cast<std::size_t>(groups);
  std::vector<PlaneForm> forms;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::span<const float> row(table.as<float>() + g * n, static_cast<std::size_t>(n));
    if (maker.op == "BitPlanes") {
      PlaneForm form;
      form.offset = l.constant(maker, 2)->as<float>()[g];
      form.scale.assign(row.begin(), row.end());
      for (int code = 0; code < 1 << n; ++code) form.pattern.push_back(static_cast<std::uint8_t>(code));
      forms.push_back(std::move(form));
      continue;
    }
    std::vector<bool> used(row.size(), false);
    for (std::size_t i = 0; i < each; ++i) used[codes[static_cast<std::size_t>(g) * each + i]] = true;
    std::optional<PlaneForm> form = planes_of_levels(row, used);
    if (!form) return {};
    forms.push_back(std::move(*form));
  }
  return forms;
}

/// Forms and codes of a packed weight; forms still as they are stored.
const char* read_forms(const Lowering& l, const Lowering::Unpacked& packed, PlaneWeights& weights) {
  const Node& maker = *packed.node;
  if (maker.op == "BucketCodebook") return "weights in buckets";
  const Tensor& planes = *l.constant(maker, 0);
  weights.shape = packed.values.shape();
  weights.nominal_bits = static_cast<int>(planes.shape()[0]);
  const std::int64_t count = packed.values.count();
  if (count == 0) return "no form of bit planes";
  weights.bits = unpack_planes(planes.values<std::uint8_t>(), static_cast<int>(planes.shape()[0]), count);
  weights.forms = forms_of(l, maker, weights.bits);
  return weights.forms.empty() ? "weight levels are no sums of planes, and too many for a plane each" : nullptr;
}

/// Forms without offsets where they have such, and the bits that these mean.
void settle(PlaneWeights& weights) {
  drop_offsets(weights.forms);
  const std::size_t each = weights.bits.size() / weights.forms.size();
  for (std::size_t i = 0; i < weights.bits.size(); ++i)
    weights.bits[i] = weights.forms[i / each].pattern[weights.bits[i]];
}

/// What stands between packed weights and the layer that reads them.
struct Path {
  const Lowering::Unpacked* packed = nullptr;
  const Node* affine = nullptr;  // scales by row
  bool turned = false;
};

std::string follow(const Lowering& l, std::string value, Path& path) {
  while (true) {
    if (const auto found = l.unpacked.find(value); found != l.unpacked.end()) {
      path.packed = &found->second;
      return {};
    }
    const auto made = l.index.producer.find(value);
    if (made == l.index.producer.end()) return "weights are float";
    const Node& node = l.graph.nodes[static_cast<std::size_t>(made->second)];
    if (node.is("Transpose"))
      path.turned = !path.turned;
    else if (node.is("Affine", kNnqDomain) && path.affine == nullptr)
      path.affine = &node;
    else if (!node.is("Unsqueeze") && !node.is("Squeeze") && !node.is("Identity"))
      return "weights are float";
    value = node.inputs[0];
  }
}

/// Scales of an Affine on the rows taken into the forms; false when it is no plain scaling of rows.
bool scale_rows(const Lowering& l, const Node& affine, std::int64_t rows, PlaneWeights& weights) {
  const Tensor *a = l.constant(affine, 1), *b = l.constant(affine, 2);
  if (a == nullptr || b == nullptr || affine.get_int("axis", 1) != 0) return false;
  const std::vector<float> scale = a->to_float(), zero = b->to_float();
  const auto n = static_cast<std::size_t>(rows);
  if ((scale.size() != 1 && scale.size() != n) || std::any_of(zero.begin(), zero.end(), [](float z) { return z != 0; }))
    return false;
  if (weights.forms.size() == 1 && scale.size() > 1) weights.forms.resize(n, weights.forms[0]);
  for (std::size_t f = 0; f < weights.forms.size(); ++f) {
    const float factor = scale[scale.size() == 1 ? 0 : f];
    weights.forms[f].offset *= factor;
    for (float& s : weights.forms[f].scale) s *= factor;
  }
  return true;
}

/// Whether all forms are the same whole numbers, bits with an offset, times a scale of their own.
bool are_whole(const std::vector<PlaneForm>& forms, std::int32_t& offset) {
  const auto ratio = [](const PlaneForm& f) { return f.scale[0] == 0 ? 0.0F : std::rint(f.offset / f.scale[0]); };
  const float low = ratio(forms[0]);
  offset = static_cast<std::int32_t>(std::clamp(low, -128.0F, 0.0F));
  return std::all_of(forms.begin(), forms.end(), [&](const PlaneForm& f) {
    for (std::size_t k = 0; k < f.scale.size(); ++k)
      if (f.scale[k] != f.scale[0] * static_cast<float>(1 << k)) return false;
    for (std::size_t code = 0; code < f.pattern.size(); ++code)
      if (f.pattern[code] != code) return false;
    return !f.signs && f.offset == f.scale[0] * static_cast<float>(offset);
  });
}

/// weight = scale of the row * (offset + bits).
void fill_whole(const PlaneWeights& w, std::int32_t offset, PlaneMatrix& matrix) {
  fill_planes(w, w.bits, matrix.rows, matrix.weights, matrix.planes);
  matrix.weights.offset = offset;
  for (int k = 0; k < matrix.weights.bits; ++k) matrix.weights.plane_scale.push_back(1 << k);
  matrix.planes.weight_scale.clear();
  matrix.planes.weight_offset.clear();
  for (std::int64_t o = 0; o < matrix.rows; ++o)
    matrix.planes.weight_scale.push_back(w.forms[w.forms.size() == 1 ? 0 : static_cast<std::size_t>(o)].scale[0]);
}

}  // namespace

const char* read_planes(const Lowering& l, const Lowering::Unpacked& packed, PlaneWeights& weights) {
  if (const char* why = read_forms(l, packed, weights)) return why;
  settle(weights);
  return nullptr;
}

void fill_planes(const PlaneWeights& w, const std::vector<std::uint8_t>& bits, std::int64_t outputs,
                 PackedWeights& packed, RealPlanes& p) {
  const int planes = w.forms[0].planes();
  packed.bits = planes;
  packed.nominal_bits = w.nominal_bits;
  packed.offset = 0;
  packed.count = static_cast<std::int64_t>(bits.size());
  packed.owned = std::make_shared<const std::vector<std::uint8_t>>(pack_planes(bits, planes));
  packed.data = packed.owned->data();
  p.weight_signs = w.forms[0].signs;
  const bool offsets = std::any_of(w.forms.begin(), w.forms.end(), [](const PlaneForm& f) { return f.offset != 0; });
  for (std::int64_t o = 0; o < outputs; ++o) {
    const PlaneForm& form = w.forms[w.forms.size() == 1 ? 0 : static_cast<std::size_t>(o)];
    p.weight_scale.insert(p.weight_scale.end(), form.scale.begin(), form.scale.end());
    if (offsets) p.weight_offset.push_back(form.offset);
  }
}

std::string read_matrix(const Lowering& l, const std::string& value, bool outputs_first, PlaneMatrix& matrix,
                        bool whole) {
  Path path;
  if (std::string why = follow(l, value, path); !why.empty()) return why;
  if (path.turned == outputs_first) return "weight scales along the inputs";
  PlaneWeights weights;
  if (const char* why = read_forms(l, *path.packed, weights)) return why;
  Shape shape = weights.shape;
  if (shape.size() == 3 && shape[0] == 1) shape.erase(shape.begin());
  if (shape.size() != 2) return "no form of bit planes";
  matrix.rows = shape[0];
  matrix.columns = shape[1];
  if (path.affine != nullptr && !scale_rows(l, *path.affine, matrix.rows, weights)) return "weights are float";
  if (weights.forms.size() != 1 && static_cast<std::int64_t>(weights.forms.size()) != matrix.rows)
    return "weight scales of no row";
  std::int32_t offset = 0;
  if (whole && are_whole(weights.forms, offset)) {
    fill_whole(weights, offset, matrix);
    return {};
  }
  settle(weights);
  if (weights.forms[0].planes() > 8) return "more than 8 planes of weights";
  if (matrix.columns >= std::int64_t{1} << 24) return "counts could reach 2^24";
  fill_planes(weights, weights.bits, matrix.rows, matrix.weights, matrix.planes);
  return {};
}

}  // namespace nnq::lower_room
