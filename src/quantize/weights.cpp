#include "quantize/weights.h"

#include <algorithm>

#include "nnq/error.h"
#include "nnq/quantize.h"

namespace nnq::quantize {
namespace {

Tensor packed(const Encoding& encoding) {
  const std::vector<std::uint8_t> bytes = pack_planes(encoding.codes, encoding.bits);
  return Tensor::of<std::uint8_t>({encoding.bits, static_cast<std::int64_t>(bytes.size()) / encoding.bits}, bytes);
}

Tensor vector_of(const std::vector<float>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

/// plane_scale and offset of the integers: 1, 2, 4, ... and -zero_point; 2, 4, ... and -(2^bits - 1) for planes that
/// are symmetric about 0.
void integer_planes(const Encoding& encoding, Tensor& plane_scale, Tensor& offset) {
  const bool symmetric = encoding.kind == EncodingKind::bit_planes;
  std::vector<float> scales, offsets;
  if (symmetric) {
    offsets = {-static_cast<float>((1 << encoding.bits) - 1)};
  } else {
    for (const std::int32_t zero : encoding.zero_point) offsets.push_back(-static_cast<float>(zero));
    if (std::all_of(offsets.begin(), offsets.end(), [&](float o) { return o == offsets[0]; })) offsets.resize(1);
    for (float& o : offsets) o += 0.0F;  // no negative zero
  }
  for (std::size_t g = 0; g < offsets.size(); ++g)
    for (int k = 0; k < encoding.bits; ++k) scales.push_back(static_cast<float>((symmetric ? 2 : 1) << k));
  offset = vector_of(offsets);
  plane_scale = Tensor::of<float>({static_cast<std::int64_t>(offsets.size()), encoding.bits}, scales);
}

std::string add_planes(Graph& graph, const Encoding& encoding, const Tensor& plane_scale, const Tensor& offset,
                       const std::string& name) {
  const Shape& shape = encoding.shape;
  return graph.add(
      "BitPlanes",
      {graph.add_initializer(name + ".planes", packed(encoding)),
       graph.add_initializer(name + ".plane_scale", plane_scale), graph.add_initializer(name + ".offset", offset),
       graph.add_initializer(name + ".shape",
                             Tensor::of<std::int64_t>({static_cast<std::int64_t>(shape.size())}, shape))},
      {}, name, kNnqDomain);
}

std::string add_levels(Graph& graph, const Encoding& encoding, const std::string& name) {
  if (encoding.kind == EncodingKind::bit_planes)
    return add_planes(graph, encoding, Tensor::of<float>({encoding.groups, encoding.bits}, encoding.plane_scale),
                      vector_of(encoding.offset), name);
  const Shape& shape = encoding.shape;
  if (encoding.bucket > 0)
    return graph.add("BucketCodebook",
                     {graph.add_initializer(name + ".planes", packed(encoding)),
                      graph.add_initializer(name + ".points", vector_of(encoding.table)),
                      graph.add_initializer(name + ".low", vector_of(encoding.low)),
                      graph.add_initializer(name + ".high", vector_of(encoding.high)),
                      graph.add_initializer(
                          name + ".shape", Tensor::of<std::int64_t>({static_cast<std::int64_t>(shape.size())}, shape))},
                     {{"bucket", encoding.bucket}}, name, kNnqDomain);
  return graph.add(
      "Codebook",
      {graph.add_initializer(name + ".planes", packed(encoding)),
       graph.add_initializer(name + ".table", Tensor::of<float>({encoding.groups, 1 << encoding.bits}, encoding.table)),
       graph.add_initializer(name + ".shape",
                             Tensor::of<std::int64_t>({static_cast<std::int64_t>(shape.size())}, shape))},
      {}, name, kNnqDomain);
}

/// Which output (up to batch and position) weight i takes part in.
class OutputOf {
 public:
  OutputOf(const Node& layer, const Shape& shape) {
    std::int64_t count = 1;
    for (const std::int64_t d : shape) count *= d;
    const std::size_t rank = shape.size();
    if (layer.is("ConvTranspose")) {
      outputs_per_group_ = shape[1];
      kernel_ = count / std::max<std::int64_t>(shape[0] * shape[1], 1);
      inputs_per_group_ = std::max<std::int64_t>(shape[0] / std::max<std::int64_t>(layer.get_int("group", 1), 1), 1);
      outputs_ = (shape[0] + inputs_per_group_ - 1) / inputs_per_group_ * shape[1];
    } else if (layer.is("Conv") || (layer.is("Gemm") && layer.get_int("transB", 0) != 0)) {
      row_ = count / std::max<std::int64_t>(shape[0], 1);
      outputs_ = shape[0];
    } else {
      columns_ = shape[rank - 1];
      matrix_ = columns_ * shape[rank - 2];
      outputs_ = count / std::max<std::int64_t>(shape[rank - 2], 1);
    }
  }
  std::size_t outputs() const { return static_cast<std::size_t>(std::max<std::int64_t>(outputs_, 1)); }
  std::size_t operator()(std::int64_t i) const {
    if (row_ > 0) return static_cast<std::size_t>(i / row_);
    if (columns_ > 0) return static_cast<std::size_t>(i / matrix_ * columns_ + i % columns_);
    const std::int64_t pair = i / kernel_;
    const std::int64_t group = pair / outputs_per_group_ / inputs_per_group_;
    return static_cast<std::size_t>(group * outputs_per_group_ + pair % outputs_per_group_);
  }

 private:
  std::int64_t outputs_ = 1, row_ = 0, columns_ = 0, matrix_ = 1;
  std::int64_t kernel_ = 1, outputs_per_group_ = 1, inputs_per_group_ = 1;
};

}  // namespace

FrozenWeight add_weight(Graph& graph, Encoding encoding, const std::string& name) {
  throw_if_error(encoding.check(), "weight '" + name + "'");
  FrozenWeight weight;
  weight.integers = encoding.integer_form();
  if (weight.integers.ok) {
    Tensor plane_scale, offset;
    integer_planes(encoding, plane_scale, offset);
    weight.value = add_planes(graph, encoding, plane_scale, offset, name);
  } else if (encoding.kind == EncodingKind::uniform) {  // zero points beyond +-255
    Encoding table = encoding;
    table.kind = EncodingKind::codebook;
    for (std::int64_t g = 0; g < encoding.groups; ++g)
      for (int code = 0; code < 1 << encoding.bits; ++code)
        table.table.push_back(encoding.level(g, static_cast<std::uint8_t>(code)));
    weight.value = weight.real = add_levels(graph, table, name);
  } else {
    weight.value = weight.real = add_levels(graph, encoding, name);
  }
  weight.encoding = std::move(encoding);
  return weight;
}

std::string real_weight(Graph& graph, FrozenWeight& weight) {
  if (!weight.real.empty()) return weight.real;
  const std::string step = graph.add_initializer(weight.value + ".step", vector_of(weight.integers.step));
  const std::string zero = graph.add_initializer(weight.value + ".zero", vector_of({0.0F}));
  weight.real =
      graph.add("Affine", {weight.value, step, zero}, {{"axis", std::int64_t{0}}}, weight.value + ".real", kNnqDomain);
  return weight.real;
}

SumBounds bounds_of_sums(const Node& layer, const FrozenWeight& weight, double lo, double hi) {
  const std::vector<std::int16_t>& integers = weight.integers.values;
  const OutputOf output_of(layer, weight.encoding.shape);
  std::vector<double> low(output_of.outputs(), 0), high(output_of.outputs(), 0);
  for (std::size_t i = 0; i < integers.size(); ++i) {
    const double w = integers[i];
    const std::size_t output = output_of(static_cast<std::int64_t>(i));
    low[output] += std::min({w * lo, w * hi, 0.0});
    high[output] += std::max({w * lo, w * hi, 0.0});
  }
  return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

}  // namespace nnq::quantize

namespace nnq {

bool unpacks_weight(const Node& node) {
  return node.domain == kNnqDomain && (node.op == "BitPlanes" || node.op == "Codebook" || node.op == "BucketCodebook");
}

}  // namespace nnq
