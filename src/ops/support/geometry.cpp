#include "ops/support/geometry.h"

#include "ops/support/check.h"

namespace nnq::ops {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 31;  // products of two stay in int64

/// A list attribute of `count` entries in [low, 2^31); `fallback` everywhere when it is absent.
Status read_list(const Node& node, const char* name, std::size_t count, std::int64_t low, std::int64_t fallback,
                 Dims& out) {
  out = Dims(count, fallback);
  const auto it = node.attributes.find(name);
  if (it == node.attributes.end()) return {};
  const auto* list = std::get_if<std::vector<std::int64_t>>(&it->second);
  if (list == nullptr || list->empty()) return {};
  NNQ_REQUIRE(list->size() == count, title(node), ": ", name, " has ", list->size(), " entries, expected ", count);
  for (std::size_t i = 0; i < count; ++i) {
    NNQ_REQUIRE((*list)[i] >= low && (*list)[i] < kLargest, title(node), ": ", name, " ", (*list)[i],
                " is out of range");
    out[i] = (*list)[i];
  }
  return {};
}

Status read_basics(const Node& node, const Dims& kernel, WindowGeometry& out) {
  const std::size_t rank = kernel.size();
  NNQ_REQUIRE(rank * 2 <= kMaxRank, title(node), ": ", rank, " spatial dimensions are not supported");
  out.kernel = kernel;
  for (std::int64_t k : kernel)
    NNQ_REQUIRE(k >= 1 && k < kLargest, title(node), ": kernel extent ", k, " is out of range");
  NNQ_TRY(read_list(node, "strides", rank, 1, 1, out.stride));
  NNQ_TRY(read_list(node, "dilations", rank, 1, 1, out.dilation));
  for (std::size_t i = 0; i < rank; ++i) {
    NNQ_REQUIRE(out.span(i) < kLargest, title(node), ": the dilated kernel of extent ", out.span(i),
                " is out of range");
  }
  const std::string mode = node.get_string("auto_pad", "NOTSET");
  NNQ_REQUIRE(mode == "NOTSET" || mode == "VALID" || mode == "SAME_UPPER" || mode == "SAME_LOWER" || mode.empty(),
              title(node), ": auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, got ", mode);
  out.pad_begin = Dims(rank, 0);
  out.pad_end = Dims(rank, 0);
  if (mode == "VALID" || pads_to_same(node)) return {};
  Dims pads;
  NNQ_TRY(read_list(node, "pads", 2 * rank, 0, 0, pads));
  for (std::size_t i = 0; i < rank; ++i) {
    out.pad_begin[i] = pads[i];
    out.pad_end[i] = pads[rank + i];
  }
  return {};
}

}  // namespace

bool pads_to_same(const Node& node) {
  const std::string mode = node.get_string("auto_pad", "NOTSET");
  return mode == "SAME_UPPER" || mode == "SAME_LOWER";
}

Status resolve_conv_padding(const Node& node, const Dims& kernel, const Dims& input, WindowGeometry& out) {
  NNQ_TRY(read_basics(node, kernel, out));
  if (!pads_to_same(node)) return {};
  const bool lower = node.get_string("auto_pad", "") == "SAME_LOWER";
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    std::int64_t total = 0;
    if (input[i] >= 0) {
      const std::int64_t windows = (input[i] + out.stride[i] - 1) / out.stride[i];
      total = std::max<std::int64_t>((windows - 1) * out.stride[i] + out.span(i) - input[i], 0);
    } else if (out.stride[i] == 1) {
      total = out.span(i) - 1;
    }
    out.pad_begin[i] = lower ? total - total / 2 : total / 2;
    out.pad_end[i] = total - out.pad_begin[i];
  }
  return {};
}

Status window_output(const Node& node, const WindowGeometry& g, std::size_t axis, std::int64_t input, bool ceil_mode,
                     std::int64_t& out) {
  NNQ_REQUIRE(input < (std::int64_t{1} << 40), title(node), ": input extent ", input, " is too large");
  const std::int64_t room = input + g.pad_begin[axis] + g.pad_end[axis] - g.span(axis);
  NNQ_REQUIRE(room >= 0, title(node), ": a window of ", g.span(axis), " does not fit an extent of ", input,
              " padded by ", g.pad_begin[axis], " and ", g.pad_end[axis]);
  out = (ceil_mode ? (room + g.stride[axis] - 1) / g.stride[axis] : room / g.stride[axis]) + 1;
  if (ceil_mode && (out - 1) * g.stride[axis] >= input + g.pad_begin[axis]) --out;
  return {};
}

Status window_output_dims(const Node& node, const WindowGeometry& g, std::span<const Dim> input, bool ceil_mode,
                          SymbolicShape& out) {
  for (std::size_t i = 0; i < g.rank(); ++i) {
    if (input[i].known()) {
      std::int64_t extent = 0;
      NNQ_TRY(window_output(node, g, i, input[i].value, ceil_mode, extent));
      out.emplace_back(extent);
    } else if (g.stride[i] == 1 && g.pad_begin[i] + g.pad_end[i] == g.span(i) - 1) {
      out.push_back(input[i]);
    } else {
      out.emplace_back();
    }
  }
  return {};
}

Status resolve_transpose_padding(const Node& node, const Dims& kernel, const Dims& input, WindowGeometry& out,
                                 Dims& output) {
  NNQ_TRY(read_basics(node, kernel, out));
  const std::size_t rank = kernel.size();
  Dims extra;
  NNQ_TRY(read_list(node, "output_padding", rank, 0, 0, extra));
  // Some exporters write the full shape [N, C, ...]; only its spatial end counts.
  std::vector<std::int64_t> shape = node.get_ints("output_shape");
  if (shape.size() == rank + 2) shape.erase(shape.begin(), shape.begin() + 2);
  NNQ_REQUIRE(shape.empty() || shape.size() == rank, title(node), ": output_shape has ", shape.size(),
              " entries, expected ", rank);
  const bool same = pads_to_same(node);
  const bool upper = node.get_string("auto_pad", "") == "SAME_UPPER";
  output = Dims(rank, -1);
  for (std::size_t i = 0; i < rank; ++i) {
    if (!shape.empty()) {
      NNQ_REQUIRE(shape[i] >= 0 && shape[i] < kLargest, title(node), ": output_shape ", shape[i], " is out of range");
      output[i] = shape[i];
    }
    if (input[i] < 0) continue;
    NNQ_REQUIRE(input[i] < kLargest, title(node), ": input extent ", input[i], " is too large");
    const std::int64_t full = input[i] == 0 ? 0 : out.stride[i] * (input[i] - 1) + extra[i] + out.span(i);
    if (shape.empty() && same) output[i] = input[i] * out.stride[i];
    if (output[i] >= 0) {
      const std::int64_t total = std::max<std::int64_t>(full - output[i], 0);
      out.pad_begin[i] = upper ? total / 2 : total - total / 2;
      out.pad_end[i] = total - out.pad_begin[i];
    } else {
      output[i] = full - out.pad_begin[i] - out.pad_end[i];
      NNQ_REQUIRE(output[i] >= 0, title(node), ": pads ", out.pad_begin[i], " and ", out.pad_end[i],
                  " are more than the output of ", full);
    }
  }
  return {};
}

}  // namespace nnq::ops
