#include "ops/support/elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/half.h"

namespace nnq::ops {
namespace {

template <class To, class From>
To narrow(From v) {
  if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (std::isnan(v)) return To{};
    const auto d = static_cast<double>(v);
    if (d <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (d >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  }
  return static_cast<To>(v);
}

template <class T, class W>
void load_as(const std::byte* data, std::int64_t offset, std::int64_t step, std::int64_t count, W* out) {
  const T* in = reinterpret_cast<const T*>(data) + offset;
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow<W>(in[i * step]);
}

template <class T, class W>
void store_as(std::byte* data, std::int64_t offset, std::int64_t count, const W* in) {
  T* out = reinterpret_cast<T*>(data) + offset;
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow<T>(in[i]);
}

/// A float of 16 bits from a wide value, rounded once: double goes to float first only where that cannot round twice.
template <class W>
float to_float(W v) {
  if constexpr (std::is_same_v<W, double>) {
    // Round to odd: keeps the information a second rounding needs (the low bit says "not exact").
    const auto f = static_cast<float>(v);
    if (static_cast<double>(f) == v || std::isnan(v) || std::isinf(f)) return f;
    const float toward = std::abs(static_cast<double>(f)) > std::abs(v) ? std::nextafter(f, 0.0F) : f;
    std::uint32_t bits = std::bit_cast<std::uint32_t>(toward) | 1U;
    return std::bit_cast<float>(bits);
  } else {
    return static_cast<float>(v);
  }
}

}  // namespace

template <class W>
void load(DType type, const std::byte* data, std::int64_t offset, std::int64_t step, std::int64_t count, W* out) {
  const auto* half =
      reinterpret_cast<const std::uint16_t*>(data) + (type == DType::f16 || type == DType::bf16 ? offset : 0);
  switch (type) {
    case DType::f32:
      load_as<float>(data, offset, step, count, out);
      break;
    case DType::f64:
      load_as<double>(data, offset, step, count, out);
      break;
    case DType::f16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = narrow<W>(half_to_float(half[i * step]));
      break;
    case DType::bf16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = narrow<W>(bfloat_to_float(half[i * step]));
      break;
    case DType::i8:
      load_as<std::int8_t>(data, offset, step, count, out);
      break;
    case DType::u8:
      load_as<std::uint8_t>(data, offset, step, count, out);
      break;
    case DType::i16:
      load_as<std::int16_t>(data, offset, step, count, out);
      break;
    case DType::u16:
      load_as<std::uint16_t>(data, offset, step, count, out);
      break;
    case DType::i32:
      load_as<std::int32_t>(data, offset, step, count, out);
      break;
    case DType::u32:
      load_as<std::uint32_t>(data, offset, step, count, out);
      break;
    case DType::i64:
      load_as<std::int64_t>(data, offset, step, count, out);
      break;
    case DType::u64:
      load_as<std::uint64_t>(data, offset, step, count, out);
      break;
    case DType::boolean: {
      const auto* in = reinterpret_cast<const std::uint8_t*>(data) + offset;
      for (std::int64_t i = 0; i < count; ++i) out[i] = in[i * step] != 0 ? W{1} : W{0};
      break;
    }
    case DType::string:
      std::fill_n(out, count, W{});
      break;
  }
}

template <class W>
void store(DType type, std::byte* data, std::int64_t offset, std::int64_t count, const W* in) {
  auto* half = reinterpret_cast<std::uint16_t*>(data) + (type == DType::f16 || type == DType::bf16 ? offset : 0);
  switch (type) {
    case DType::f32:
      store_as<float>(data, offset, count, in);
      break;
    case DType::f64:
      store_as<double>(data, offset, count, in);
      break;
    case DType::f16:
      for (std::int64_t i = 0; i < count; ++i) half[i] = float_to_half(to_float(in[i]));
      break;
    case DType::bf16:
      for (std::int64_t i = 0; i < count; ++i) half[i] = float_to_bfloat(to_float(in[i]));
      break;
    case DType::i8:
      store_as<std::int8_t>(data, offset, count, in);
      break;
    case DType::u8:
      store_as<std::uint8_t>(data, offset, count, in);
      break;
    case DType::i16:
      store_as<std::int16_t>(data, offset, count, in);
      break;
    case DType::u16:
      store_as<std::uint16_t>(data, offset, count, in);
      break;
    case DType::i32:
      store_as<std::int32_t>(data, offset, count, in);
      break;
    case DType::u32:
      store_as<std::uint32_t>(data, offset, count, in);
      break;
    case DType::i64:
      store_as<std::int64_t>(data, offset, count, in);
      break;
    case DType::u64:
      store_as<std::uint64_t>(data, offset, count, in);
      break;
    case DType::boolean: {
      auto* out = reinterpret_cast<std::uint8_t*>(data) + offset;
      for (std::int64_t i = 0; i < count; ++i) out[i] = in[i] != W{} ? 1 : 0;
      break;
    }
    case DType::string:
      break;
  }
}

#define NNQ_INSTANTIATE(W)                                                                      \
  template void load<W>(DType, const std::byte*, std::int64_t, std::int64_t, std::int64_t, W*); \
  template void store<W>(DType, std::byte*, std::int64_t, std::int64_t, const W*);
NNQ_INSTANTIATE(float)
NNQ_INSTANTIATE(double)
NNQ_INSTANTIATE(std::int64_t)
NNQ_INSTANTIATE(std::uint64_t)
#undef NNQ_INSTANTIATE

void convert(const TensorView& from, const TensorView& to) {
  const std::int64_t count = from.count();
  if (from.dtype == to.dtype) {
    if (count > 0) std::memcpy(to.data, from.data, static_cast<std::size_t>(count) * size_of(from.dtype));
    return;
  }
  with_wide(from.dtype, [&](auto wide) {
    using W = decltype(wide);
    W block[kBlock];
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      load<W>(from.dtype, from.data, i, 1, n, block);
      store<W>(to.dtype, to.data, i, n, block);
    }
  });
}

}  // namespace nnq::ops
