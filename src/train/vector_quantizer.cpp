#include "train/vector_quantizer.h"

#include <array>

#include "nnq/error.h"
#include "ops/support/vector_attributes.h"

namespace nnq::train {

StateQuantizer vector_quantizer(const Node& node, const std::string& prefix) {
  VectorCode code;
  throw_if_error(ops::read_vector_code(node, prefix, code), "node '" + node.name + "'");
  return [code](const at::Tensor& x) {
    const at::Tensor from = x.contiguous(), to = at::empty_like(from);
    const std::int64_t n = x.size(1);
    std::array<float, multibit::kMaxBits> scales{};
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(n));
    for (std::int64_t r = 0; r < x.size(0); ++r)
      quantize_vector(code, from.data_ptr<float>() + r * n, n, scales.data(), codes.data(),
                      to.data_ptr<float>() + r * n);
    return to;
  };
}

}  // namespace nnq::train
