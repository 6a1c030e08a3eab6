#include "ops/support/copy.h"

#include "ops/support/check.h"

namespace nnq::ops {
namespace {

template <class T>
void copy_row(const std::byte* from, std::int64_t from_step, std::byte* to, std::int64_t to_step, std::int64_t count) {
  const T* in = reinterpret_cast<const T*>(from);
  T* out = reinterpret_cast<T*>(to);
  for (std::int64_t i = 0; i < count; ++i) out[i * to_step] = in[i * from_step];
}

}  // namespace

void copy_strided(std::size_t size, const Dims& dims, const std::byte* from, const Dims& from_strides, std::byte* to,
                  const Dims& to_strides) {
  const auto bytes = static_cast<std::int64_t>(size);
  for_each_row<2>(dims, {from_strides, to_strides}, [&](const auto& offset, std::int64_t count, const auto& step) {
    const std::byte* in = from + offset[0] * bytes;
    std::byte* out = to + offset[1] * bytes;
    if (step[0] == 1 && step[1] == 1) {
      std::memcpy(out, in, static_cast<std::size_t>(count) * size);
      return;
    }
    switch (size) {
      case 1:
        copy_row<std::uint8_t>(in, step[0], out, step[1], count);
        break;
      case 2:
        copy_row<std::uint16_t>(in, step[0], out, step[1], count);
        break;
      case 4:
        copy_row<std::uint32_t>(in, step[0], out, step[1], count);
        break;
      default:
        copy_row<std::uint64_t>(in, step[0], out, step[1], count);
        break;
    }
  });
}

Status evaluate_copy(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const TensorView& y = ctx.output(0);
  NNQ_REQUIRE(x.count() == y.count() && x.dtype == y.dtype, title(ctx.node), ": cannot give ", nnq::to_string(x.shape),
              " the shape ", nnq::to_string(y.shape));
  const std::size_t bytes = static_cast<std::size_t>(x.count()) * size_of(x.dtype);
  if (bytes > 0 && x.data != y.data) std::memcpy(y.data, x.data, bytes);
  return {};
}

void fill(std::size_t size, std::byte* to, std::int64_t count, const std::byte* value) {
  copy_strided(size, Dims(1, count), value, Dims(1, 0), to, Dims(1, 1));
}

}  // namespace nnq::ops
