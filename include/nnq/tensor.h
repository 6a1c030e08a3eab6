// A dense tensor as a value: element type, shape, and shared copy-on-write memory aligned to 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nnq/status.h"

namespace nnq {

enum class DType : std::uint8_t { f32, f64, f16, bf16, i8, u8, i16, u16, i32, u32, i64, u64, boolean, string };

/// Bytes of one element; 0 for DType::string.
std::size_t size_of(DType type);
/// "float32", "int8", ... as NumPy names them.
const char* name_of(DType type);

using Shape = std::vector<std::int64_t>;

/// Product of the dimensions; nullopt when a dimension is negative or the product overflows int64.
std::optional<std::int64_t> checked_count(const Shape& shape);
/// "[1, 3, 32, 32]"
std::string to_string(const Shape& shape);

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<std::int16_t>() {
  return DType::i16;
}
template <>
constexpr DType dtype_of<std::uint16_t>() {
  return DType::u16;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::uint32_t>() {
  return DType::u32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::uint64_t>() {
  return DType::u64;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::boolean;
}

/// Non-owning view of tensor memory, row-major and dense. What operators and the runtime compute on.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  std::byte* data = nullptr;

  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t d : shape) n *= d;
    return n;
  }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
  template <class T>
  std::span<T> values() const {
    return {as<T>(), static_cast<std::size_t>(count())};
  }
};

/// Owning tensor. Copies share memory until one of them calls a mutable accessor (copy on write).
/// Strings (DType::string) are held beside the bytes, only so that ONNX attributes and labels can be carried.
class Tensor {
 public:
  Tensor() = default;  // undefined: no type, no memory
  /// Zero-filled. A shape with a negative dimension, or whose size overflows or cannot be allocated, ends in
  /// std::bad_alloc, so readers of untrusted files first call checked_count and compare with the bytes they have.
  Tensor(DType dtype, Shape shape);

  template <class T>
  static Tensor of(Shape shape, std::span<const T> values) {
    Tensor t(dtype_of<T>(), std::move(shape));
    T* out = t.mutable_as<T>();
    for (std::size_t i = 0; i < values.size() && static_cast<std::int64_t>(i) < t.count(); ++i) out[i] = values[i];
    return t;
  }
  template <class T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    return of<T>(std::move(shape), std::span<const T>(values));
  }
  template <class T>
  static Tensor scalar(T value) {
    return of<T>({}, std::span<const T>(&value, 1));
  }
  static Tensor of_strings(Shape shape, std::vector<std::string> values);

  bool defined() const { return defined_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t count() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * size_of(dtype_); }

  const std::byte* data() const { return data_.get(); }
  std::byte* mutable_data();
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_.get());
  }
  template <class T>
  T* mutable_as() {
    return reinterpret_cast<T*>(mutable_data());
  }
  template <class T>
  std::span<const T> values() const {
    return {as<T>(), static_cast<std::size_t>(count_)};
  }
  template <class T>
  std::span<T> mutable_values() {
    return {mutable_as<T>(), static_cast<std::size_t>(count_)};
  }
  const std::vector<std::string>& strings() const;

  /// Same memory under another shape of equal count (unchecked beyond the count; a mismatch is a caller's fault and
  /// aborts).
  Tensor reshaped(Shape shape) const;
  /// Elements converted one by one (floats to integers truncate as C++ does, to boolean by != 0); f16/bf16 both ways.
  Tensor cast(DType to) const;
  /// Any numeric tensor as int64 / float values, for shapes, axes and the like.
  std::vector<std::int64_t> to_int64() const;
  std::vector<float> to_float() const;

  /// A view of this tensor's memory. The const one must only be read.
  TensorView view() const;
  TensorView mutable_view();

  bool operator==(const Tensor& other) const;  // type, shape and bytes (NaNs compare by bits)

 private:
  DType dtype_ = DType::f32;
  bool defined_ = false;
  Shape shape_;
  std::int64_t count_ = 0;
  std::shared_ptr<std::byte[]> data_;
  std::shared_ptr<std::vector<std::string>> strings_;
};

}  // namespace nnq
