#include <xnnpack.h>

#include <cmath>
#include <limits>
#include <memory>

#include "agreement.h"
#include "float_libraries.h"
#include "nnq/error.h"

namespace nnq::peers {
namespace {

void must(xnn_status status, const char* what) {
  if (status != xnn_status_success) throw Error("XNNPACK answers " + std::to_string(status), what);
}

struct Operator {
  xnn_operator_t handle = nullptr;
  std::vector<float> real_in, real_out;
  std::vector<std::int8_t> int8_in, int8_out;
  ~Operator() { xnn_delete_operator(handle); }
  void run() const { must(xnn_run_operator(handle, nullptr), "run"); }
};

// XNNPACK may read a few bytes beyond its inputs.
constexpr std::size_t spare = XNN_EXTRA_BYTES;

void make_real(const Layer& layer, Operator& op) {
  const LayerShape& s = layer.shape;
  const auto in = static_cast<std::size_t>(s.in), out = static_cast<std::size_t>(s.out);
  const auto k = static_cast<std::uint32_t>(s.kernel), pad = static_cast<std::uint32_t>(s.pad());
  const std::vector<float> weights(layer.integers.begin(), layer.integers.end());
  const std::size_t batch = static_cast<std::size_t>(s.batch), size = static_cast<std::size_t>(s.size);
  constexpr float inf = std::numeric_limits<float>::infinity();
  op.real_in = layer.input<float>();
  op.real_in.resize(op.real_in.size() + spare);
  op.real_out.resize(static_cast<std::size_t>(s.outputs()));
  if (s.dense()) {
    must(xnn_create_fully_connected_nc_f32(in, out, in, out, weights.data(), nullptr, -inf, inf, 0, &op.handle),
         "create");
    must(xnn_setup_fully_connected_nc_f32(op.handle, batch, op.real_in.data(), op.real_out.data(), nullptr), "setup");
    return;
  }
  must(xnn_create_convolution2d_nhwc_f32(pad, pad, pad, pad, k, k, 1, 1, 1, 1, 1, in, out, in, out, weights.data(),
                                         nullptr, -inf, inf, 0, &op.handle),
       "create");
  must(xnn_setup_convolution2d_nhwc_f32(op.handle, batch, size, size, op.real_in.data(), op.real_out.data(), nullptr),
       "setup");
}

void make_int8(const Layer& layer, Operator& op) {
  const LayerShape& s = layer.shape;
  const auto in = static_cast<std::size_t>(s.in), out = static_cast<std::size_t>(s.out);
  const auto k = static_cast<std::uint32_t>(s.kernel), pad = static_cast<std::uint32_t>(s.pad());
  const std::size_t batch = static_cast<std::size_t>(s.batch), size = static_cast<std::size_t>(s.size);
  const float scale = std::ldexp(1.0F, -layer.shift());
  op.int8_in = layer.input<std::int8_t>();
  op.int8_in.resize(op.int8_in.size() + spare);
  op.int8_out.resize(static_cast<std::size_t>(s.outputs()));
  if (s.dense()) {
    must(xnn_create_fully_connected_nc_qs8(in, out, in, out, 0, 1, scale, layer.integers.data(), nullptr, 0, 1, -128,
                                           127, 0, &op.handle),
         "create");
    must(xnn_setup_fully_connected_nc_qs8(op.handle, batch, op.int8_in.data(), op.int8_out.data(), nullptr), "setup");
    return;
  }
  must(xnn_create_convolution2d_nhwc_qs8(pad, pad, pad, pad, k, k, 1, 1, 1, 1, 1, in, out, in, out, 0, 1, scale,
                                         layer.integers.data(), nullptr, 0, 1, -128, 127, 0, &op.handle),
       "create");
  must(xnn_setup_convolution2d_nhwc_qs8(op.handle, batch, size, size, op.int8_in.data(), op.int8_out.data(), nullptr),
       "setup");
}

}  // namespace

Contender xnnpack(const Layer& layer, bool int8, const std::vector<std::int32_t>& sums) {
  must(xnn_initialize(nullptr), "initialize");
  const auto op = std::make_shared<Operator>();
  int8 ? make_int8(layer, *op) : make_real(layer, *op);
  op->run();
  Contender c;
  c.who = "XNNPACK";
  c.what = int8 ? "int8 s8s8" : "fp32";
  c.check = int8 ? agreement(std::vector<float>(op->int8_out.begin(), op->int8_out.end()),
                             requantized(sums, layer.shift(), true))
                 : agreement(op->real_out, std::vector<float>(sums.begin(), sums.end()));
  c.sample = in_process([op] { op->run(); });
  return c;
}

}  // namespace nnq::peers
