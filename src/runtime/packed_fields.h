// What is done with packed weights besides computing: they are counted, written to a file and found in it again. A
// packed type lists its members once for all of that:
//
//   template <class Self, class F>
//   static void fields(Self& self, F& f) { f(self.weights, self.zero, self.parts); }
//
// Members are numbers and enumerations, PackedArrays, types with fields() and std::vectors of these. What is not listed
// keeps its default value when the weights come from a file. A type may have a `void found()`, called then, for what
// cannot lie in a file: pointers to kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/aligned.h"

namespace nnq {

/// A packed object taken apart.
struct PackedParts {
  std::vector<std::byte> numbers;  // in their order, and of each array the size of an element and how many
  std::vector<std::span<const std::byte>> arrays;  // the object's own memory
};

/// Calls member(m) for every member that is a number or an array, in order. Visitor: what derives from this.
template <class Visitor>
class PackedVisitor {
 public:
  template <class... M>
  void operator()(M&... members) {
    (one(members), ...);
  }

 private:
  Visitor& self() { return static_cast<Visitor&>(*this); }
  template <class M>
  void one(M& member) {
    if constexpr (std::is_arithmetic_v<M> || std::is_enum_v<M>)
      self().number(&member, sizeof(member));
    else
      M::fields(member, *this);
  }
  template <class T>
  void one(PackedArray<T>& member) {
    self().array(member, sizeof(T));
  }
  template <class T>
  void one(const PackedArray<T>& member) {
    self().array(member, sizeof(T));
  }
  template <class M>
  void one(std::vector<M>& members) {
    std::uint64_t count = members.size();
    self().number(&count, sizeof(count));
    members.resize(self().at_most(count));
    for (M& m : members) one(m);
  }
  template <class M>
  void one(const std::vector<M>& members) {
    const std::uint64_t count = members.size();
    self().number(&count, sizeof(count));
    for (const M& m : members) one(m);
  }
};

/// Takes apart.
class PackedTaker : public PackedVisitor<PackedTaker> {
 public:
  explicit PackedTaker(PackedParts& parts) : parts_(parts) {}
  void number(const void* value, std::size_t bytes);
  void array(const PackedMemory& a, std::size_t element);

 private:
  PackedParts& parts_;
};

/// Puts together: numbers are copied, arrays point into what `owner` keeps alive.
class PackedFinder : public PackedVisitor<PackedFinder> {
 public:
  PackedFinder(const PackedParts& parts, std::shared_ptr<const void> owner) : parts_(parts), owner_(std::move(owner)) {}
  void number(void* value, std::size_t bytes);
  void array(PackedMemory& a, std::size_t element);
  /// Elements of a vector: no more than there are numbers to read for them.
  std::size_t at_most(std::uint64_t count);
  /// Everything was there, of the right sizes, and nothing is left.
  bool complete() const;

 private:
  const PackedParts& parts_;
  std::shared_ptr<const void> owner_;
  std::size_t number_ = 0, array_ = 0;
  bool good_ = true;
};

template <class T>
PackedParts parts_of(const T& packed) {
  PackedParts parts;
  PackedTaker taker(parts);
  T::fields(packed, taker);
  return parts;
}

/// nullptr: the parts are not a T's.
template <class T>
std::shared_ptr<const T> packed_of(const PackedParts& parts, std::shared_ptr<const void> owner) {
  PackedFinder finder(parts, std::move(owner));
  auto packed = std::make_shared<T>();
  T::fields(*packed, finder);
  if (!finder.complete()) return nullptr;
  if constexpr (requires { packed->found(); }) packed->found();
  return packed;
}

/// Bytes of a packed object's arrays.
std::int64_t packed_bytes(const PackedParts& parts);

}  // namespace nnq
