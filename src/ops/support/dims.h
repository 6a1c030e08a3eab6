// A short list of dimensions, strides or axes kept without heap memory, so that evaluating an operator allocates
// nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "nnq/tensor.h"

namespace nnq::ops {

/// Highest rank an operator accepts; shape inference refuses more.
inline constexpr std::size_t kMaxRank = 12;

/// At most kMaxRank numbers. Pushing beyond that is dropped: callers check ranks first (see check.h).
class Dims {
 public:
  Dims() = default;
  explicit Dims(std::size_t count, std::int64_t value = 0) : size_(std::min(count, kMaxRank)) { values_.fill(value); }
  Dims(const Shape& shape) : size_(std::min(shape.size(), kMaxRank)) {  // NOLINT(google-explicit-constructor)
    std::copy_n(shape.begin(), size_, values_.begin());
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void push_back(std::int64_t v) {
    if (size_ < kMaxRank) values_[size_++] = v;
  }
  std::int64_t& operator[](std::size_t i) { return values_[i]; }
  std::int64_t operator[](std::size_t i) const { return values_[i]; }
  std::int64_t back() const { return values_[size_ - 1]; }
  std::int64_t* begin() { return values_.data(); }
  std::int64_t* end() { return values_.data() + size_; }
  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + size_; }
  Shape shape() const { return {begin(), end()}; }
  /// Product of elements [from, to).
  std::int64_t product(std::size_t from, std::size_t to) const {
    std::int64_t n = 1;
    for (std::size_t i = from; i < to; ++i) n *= values_[i];
    return n;
  }
  std::int64_t product() const { return product(0, size_); }
  bool operator==(const Dims& o) const { return size_ == o.size_ && std::equal(begin(), end(), o.begin()); }

 private:
  std::array<std::int64_t, kMaxRank> values_{};
  std::size_t size_ = 0;
};

/// Row-major strides in elements.
inline Dims row_major(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

/// Strides that walk a dense tensor of shape `dims` along `to` by NumPy broadcasting (0 where it repeats).
inline Dims broadcast_strides(const Dims& dims, const Dims& to) {
  Dims strides(to.size(), 0);
  const Dims own = row_major(dims);
  const std::size_t lead = to.size() - dims.size();
  for (std::size_t i = 0; i < dims.size(); ++i) strides[lead + i] = dims[i] == 1 ? 0 : own[i];
  return strides;
}

/// Advances a row-major multi-index over the first `rank` dims; false when it wraps around to the start.
inline bool next_index(Dims& index, const Dims& dims, std::size_t rank) {
  for (std::size_t i = rank; i-- > 0;) {
    if (++index[i] < dims[i]) return true;
    index[i] = 0;
  }
  return false;
}

/// Calls row(offsets, count, steps) for the innermost rows of N operands walked together over `dims`. Offsets and steps
/// are in elements (or whatever unit the strides have). Neighbouring dims that are contiguous for all operands merge.
template <std::size_t N, class Row>
void for_each_row(const Dims& dims, const std::array<Dims, N>& strides, Row&& row) {
  Dims merged;
  std::array<Dims, N> steps;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 0) return;
    if (dims[d] == 1) continue;
    bool joins = !merged.empty();
    for (std::size_t k = 0; k < N && joins; ++k) joins = steps[k].back() == strides[k][d] * dims[d];
    if (joins) {
      merged[merged.size() - 1] *= dims[d];
      for (std::size_t k = 0; k < N; ++k) steps[k][steps[k].size() - 1] = strides[k][d];
    } else {
      merged.push_back(dims[d]);
      for (std::size_t k = 0; k < N; ++k) steps[k].push_back(strides[k][d]);
    }
  }
  std::array<std::int64_t, N> offsets{};
  std::array<std::int64_t, N> inner{};
  if (merged.empty()) {
    row(offsets, std::int64_t{1}, inner);
    return;
  }
  const std::size_t outer = merged.size() - 1;
  for (std::size_t k = 0; k < N; ++k) inner[k] = steps[k][outer];
  Dims index(outer, 0);
  do {
    for (std::size_t k = 0; k < N; ++k) {
      offsets[k] = 0;
      for (std::size_t i = 0; i < outer; ++i) offsets[k] += index[i] * steps[k][i];
    }
    row(offsets, merged[outer], inner);
  } while (next_index(index, merged, outer));
}

}  // namespace nnq::ops
