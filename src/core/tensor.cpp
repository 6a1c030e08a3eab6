#include "nnq/tensor.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "core/guard.h"
#include "core/half.h"

namespace nnq {
namespace {

constexpr std::size_t alignment = 64;

std::shared_ptr<std::byte[]> allocate(std::size_t bytes) {
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* raw = static_cast<std::byte*>(::operator new (rounded == 0 ? alignment : rounded, std::align_val_t{alignment}));
  return {raw, [](std::byte* p) { ::operator delete (p, std::align_val_t{alignment}); }};
}

/// Float to integer without undefined behaviour: NaN becomes 0, values outside the range saturate.
template <class To, class From>
To convert(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (std::isnan(v)) return To{};
    const auto d = static_cast<double>(v);
    if (d <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (d >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(v);
  } else {
    return static_cast<To>(v);
  }
}

/// Calls f(get) with a reader of element i as the stored C++ type; half types are read as float.
template <class F>
void with_reader(const Tensor& t, F&& f) {
  switch (t.dtype()) {
    case DType::f32:
      f([p = t.as<float>()](std::int64_t i) { return p[i]; });
      break;
    case DType::f64:
      f([p = t.as<double>()](std::int64_t i) { return p[i]; });
      break;
    case DType::f16:
      f([p = t.as<std::uint16_t>()](std::int64_t i) { return half_to_float(p[i]); });
      break;
    case DType::bf16:
      f([p = t.as<std::uint16_t>()](std::int64_t i) { return bfloat_to_float(p[i]); });
      break;
    case DType::i8:
      f([p = t.as<std::int8_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::u8:
      f([p = t.as<std::uint8_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::i16:
      f([p = t.as<std::int16_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::u16:
      f([p = t.as<std::uint16_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::i32:
      f([p = t.as<std::int32_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::u32:
      f([p = t.as<std::uint32_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::i64:
      f([p = t.as<std::int64_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::u64:
      f([p = t.as<std::uint64_t>()](std::int64_t i) { return p[i]; });
      break;
    case DType::boolean:
      f([p = t.as<std::uint8_t>()](std::int64_t i) { return p[i] != 0; });
      break;
    case DType::string:
      break;
  }
}

template <class T>
void fill(const Tensor& from, T* out) {
  with_reader(from, [&](auto get) {
    for (std::int64_t i = 0; i < from.count(); ++i) out[i] = convert<T>(get(i));
  });
}

}  // namespace

std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
    case DType::string:
      return 0;
  }
  return 0;
}

const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::f16:
      return "float16";
    case DType::bf16:
      return "bfloat16";
    case DType::i8:
      return "int8";
    case DType::u8:
      return "uint8";
    case DType::i16:
      return "int16";
    case DType::u16:
      return "uint16";
    case DType::i32:
      return "int32";
    case DType::u32:
      return "uint32";
    case DType::i64:
      return "int64";
    case DType::u64:
      return "uint64";
    case DType::boolean:
      return "bool";
    case DType::string:
      return "string";
  }
  return "?";
}

std::optional<std::int64_t> checked_count(const Shape& shape) {
  std::int64_t n = 1;
  bool zero = false;
  for (std::int64_t d : shape) {
    if (d < 0) return std::nullopt;
    if (d == 0)
      zero = true;
    else if (__builtin_mul_overflow(n, d, &n))
      return std::nullopt;
  }
  return zero ? 0 : n;
}

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return out + "]";
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), defined_(true), shape_(std::move(shape)) {
  const auto n = checked_count(shape_);
  if (!n || *n > std::numeric_limits<std::int64_t>::max() / 8) no_memory();
  count_ = *n;
  data_ = allocate(bytes());
  std::memset(data_.get(), 0, bytes());
  if (dtype == DType::string) strings_ = std::make_shared<std::vector<std::string>>(static_cast<std::size_t>(count_));
}

Tensor Tensor::of_strings(Shape shape, std::vector<std::string> values) {
  Tensor t(DType::string, std::move(shape));
  if (static_cast<std::int64_t>(values.size()) != t.count_) std::abort();
  *t.strings_ = std::move(values);
  return t;
}

std::byte* Tensor::mutable_data() {
  if (data_ && data_.use_count() > 1) {
    auto fresh = allocate(bytes());
    std::memcpy(fresh.get(), data_.get(), bytes());
    data_ = std::move(fresh);
  }
  return data_.get();
}

const std::vector<std::string>& Tensor::strings() const {
  static const std::vector<std::string> none;
  return strings_ ? *strings_ : none;
}

Tensor Tensor::reshaped(Shape shape) const {
  const auto n = checked_count(shape);
  if (!n || *n != count_) std::abort();
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::cast(DType to) const {
  if (to == dtype_) return *this;
  Tensor t(to, shape_);
  switch (to) {
    case DType::f32:
      fill(*this, t.mutable_as<float>());
      break;
    case DType::f64:
      fill(*this, t.mutable_as<double>());
      break;
    case DType::f16: {
      auto* out = t.mutable_as<std::uint16_t>();
      with_reader(*this, [&](auto get) {
        for (std::int64_t i = 0; i < count_; ++i) out[i] = float_to_half(static_cast<float>(get(i)));
      });
      break;
    }
    case DType::bf16: {
      auto* out = t.mutable_as<std::uint16_t>();
      with_reader(*this, [&](auto get) {
        for (std::int64_t i = 0; i < count_; ++i) out[i] = float_to_bfloat(static_cast<float>(get(i)));
      });
      break;
    }
    case DType::i8:
      fill(*this, t.mutable_as<std::int8_t>());
      break;
    case DType::u8:
      fill(*this, t.mutable_as<std::uint8_t>());
      break;
    case DType::i16:
      fill(*this, t.mutable_as<std::int16_t>());
      break;
    case DType::u16:
      fill(*this, t.mutable_as<std::uint16_t>());
      break;
    case DType::i32:
      fill(*this, t.mutable_as<std::int32_t>());
      break;
    case DType::u32:
      fill(*this, t.mutable_as<std::uint32_t>());
      break;
    case DType::i64:
      fill(*this, t.mutable_as<std::int64_t>());
      break;
    case DType::u64:
      fill(*this, t.mutable_as<std::uint64_t>());
      break;
    case DType::boolean:
      fill(*this, t.mutable_as<bool>());
      break;
    case DType::string:
      break;
  }
  return t;
}

std::vector<std::int64_t> Tensor::to_int64() const {
  std::vector<std::int64_t> out(static_cast<std::size_t>(count_));
  fill(*this, out.data());
  return out;
}

std::vector<float> Tensor::to_float() const {
  std::vector<float> out(static_cast<std::size_t>(count_));
  fill(*this, out.data());
  return out;
}

TensorView Tensor::view() const { return {dtype_, shape_, data_.get()}; }

TensorView Tensor::mutable_view() {
  mutable_data();
  return {dtype_, shape_, data_.get()};
}

bool Tensor::operator==(const Tensor& other) const {
  if (defined_ != other.defined_) return false;
  if (!defined_) return true;
  if (dtype_ != other.dtype_ || shape_ != other.shape_) return false;
  if (dtype_ == DType::string) return *strings_ == *other.strings_;
  return std::memcmp(data_.get(), other.data_.get(), bytes()) == 0;
}

}  // namespace nnq
