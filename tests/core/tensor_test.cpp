#include "nnq/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <new>
#include <thread>

namespace nnq {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
using Ints = std::vector<std::int64_t>;

TEST(Shapes, CheckedCountRefusesNegativesAndOverflow) {
  EXPECT_EQ(checked_count({}), 1);
  EXPECT_EQ(checked_count({2, 3, 4}), 24);
  EXPECT_EQ(checked_count({5, 0, 7}), 0);
  EXPECT_EQ(checked_count({2, -1}), std::nullopt);
  EXPECT_EQ(checked_count({0, -1}), std::nullopt);
  EXPECT_EQ(checked_count({std::int64_t{1} << 62, 2}), std::nullopt);
  EXPECT_EQ(checked_count({std::int64_t{1} << 62, 2, 0}), std::nullopt);
  EXPECT_EQ(checked_count({std::numeric_limits<std::int64_t>::max()}), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(to_string(Shape{1, 3, 32}), "[1, 3, 32]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Tensor, IsZeroFilledAlignedAndCounted) {
  const Tensor t(DType::f32, {3, 5});
  EXPECT_TRUE(t.defined());
  EXPECT_EQ(t.count(), 15);
  EXPECT_EQ(t.bytes(), 60u);
  EXPECT_EQ(t.rank(), 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data()) % 64, 0u);
  for (const float v : t.values<float>()) EXPECT_EQ(v, 0.0f);
  EXPECT_FALSE(Tensor().defined());
  EXPECT_EQ(Tensor(DType::i8, {0, 4}).count(), 0);
  EXPECT_EQ(Tensor::scalar(2.5f).shape(), Shape{});
  EXPECT_EQ(Tensor::scalar(2.5f).count(), 1);
  EXPECT_EQ(Tensor(DType::f64, {2}).bytes(), 16u);
}

TEST(Tensor, TooLargeIsBadAlloc) {
  EXPECT_THROW(Tensor(DType::f32, {std::int64_t{1} << 40, std::int64_t{1} << 40}), std::bad_alloc);
  EXPECT_THROW(Tensor(DType::f64, {std::int64_t{1} << 60}), std::bad_alloc);
  EXPECT_THROW(Tensor(DType::f32, {-1}), std::bad_alloc);
}

TEST(Tensor, CopiesShareUntilOneIsWritten) {
  Tensor a = Tensor::of<float>({3}, {1, 2, 3});
  const Tensor b = a;
  EXPECT_EQ(a.data(), b.data());
  a.mutable_as<float>()[0] = 9;
  EXPECT_NE(a.data(), b.data());
  EXPECT_EQ(b.as<float>()[0], 1.0f);
  EXPECT_EQ(a.as<float>()[0], 9.0f);
  EXPECT_EQ(a.as<float>()[2], 3.0f);
  const std::byte* alone = a.data();
  a.mutable_values<float>()[1] = 7;
  EXPECT_EQ(a.data(), alone) << "memory of its own is written in place";
  Tensor c = b;
  EXPECT_NE(reinterpret_cast<const std::byte*>(c.mutable_view().data), b.data());
  EXPECT_EQ(b.view().data, b.data());
}

TEST(Tensor, ThreadsThatWriteTheirCopiesDoNotMeet) {
  const Tensor shared = Tensor::of<std::int64_t>({1000}, Ints(1000, 5));
  std::vector<std::thread> threads;
  std::vector<std::int64_t> sums(4);
  for (std::size_t t = 0; t < sums.size(); ++t) {
    threads.emplace_back([&, t, mine = shared]() mutable {
      for (std::int64_t& v : mine.mutable_values<std::int64_t>()) v += static_cast<std::int64_t>(t);
      for (const std::int64_t v : mine.values<std::int64_t>()) sums[t] += v;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, (Ints{5000, 6000, 7000, 8000}));
  for (const std::int64_t v : shared.values<std::int64_t>()) ASSERT_EQ(v, 5);
}

TEST(Tensor, ReshapedKeepsTheMemory) {
  const Tensor a = Tensor::of<std::int32_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor b = a.reshaped({3, 1, 2});
  EXPECT_EQ(b.shape(), (Shape{3, 1, 2}));
  EXPECT_EQ(a.data(), b.data());
  EXPECT_DEATH((void)a.reshaped({4}), "");
}

TEST(Tensor, EqualityIsTypeShapeAndBits) {
  const Tensor a = Tensor::of<float>({2}, {0.0f, not_a_number});
  EXPECT_EQ(a, Tensor::of<float>({2}, {0.0f, not_a_number}));
  EXPECT_FALSE(a == Tensor::of<float>({2}, {-0.0f, not_a_number}));
  EXPECT_FALSE(a == a.reshaped({2, 1}));
  EXPECT_FALSE(Tensor(DType::i32, {2}) == Tensor(DType::u32, {2}));
  EXPECT_FALSE(a == Tensor());
  EXPECT_EQ(Tensor(), Tensor());
  EXPECT_EQ(Tensor::of_strings({2}, {"a", "b"}), Tensor::of_strings({2}, {"a", "b"}));
  EXPECT_FALSE(Tensor::of_strings({2}, {"a", "b"}) == Tensor::of_strings({2}, {"a", "c"}));
}

TEST(Tensor, CastFromFloatTruncatesAndSaturates) {
  const Tensor t = Tensor::of<float>({8}, {1.9f, -1.9f, 300, -300, 1e30f, -infinity, infinity, not_a_number});
  EXPECT_EQ(t.cast(DType::i8).to_int64(), (Ints{1, -1, 127, -128, 127, -128, 127, 0}));
  EXPECT_EQ(t.cast(DType::u8).to_int64(), (Ints{1, 0, 255, 0, 255, 0, 255, 0}));
  EXPECT_EQ(t.cast(DType::i16).to_int64(), (Ints{1, -1, 300, -300, 32767, -32768, 32767, 0}));
  constexpr auto big = std::numeric_limits<std::int64_t>::max(), small = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(t.cast(DType::i64).to_int64(), (Ints{1, -1, 300, -300, big, small, big, 0}));
  EXPECT_EQ(t.to_int64(), (Ints{1, -1, 300, -300, big, small, big, 0}));
  EXPECT_EQ(Tensor::of<double>({2}, {2147483647.5, -2147483648.5}).cast(DType::i32).to_int64(),
            (Ints{2147483647, -2147483648}));
  EXPECT_EQ(Tensor::of<float>({4}, {0, -0.0f, 0.25f, not_a_number}).cast(DType::boolean).to_int64(),
            (Ints{0, 0, 1, 1}));
}

TEST(Tensor, CastBetweenAllNumericTypesKeepsSmallNumbers) {
  const Ints numbers = {0, 1, 2, 100, 127};
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,  DType::u8,
                         DType::i16, DType::u16, DType::i32, DType::u32,  DType::i64, DType::u64};
  for (const DType from : types) {
    const Tensor there = Tensor::of<std::int64_t>({5}, numbers).cast(from);
    EXPECT_EQ(there.dtype(), from);
    EXPECT_EQ(there.bytes(), 5 * size_of(from));
    for (const DType to : types)
      EXPECT_EQ(there.cast(to).to_int64(), numbers) << name_of(from) << " to " << name_of(to);
  }
  EXPECT_EQ(Tensor::of<std::int64_t>({2}, {-1, 256}).cast(DType::u8).to_int64(), (Ints{255, 0}))
      << "wraps, as C++ does";
}

TEST(Tensor, HalvesRoundAndReadBack) {
  const Tensor t = Tensor::of<float>({3}, {0.1f, 65520.0f, -2.5f});
  EXPECT_EQ(t.cast(DType::f16).to_float(), (std::vector<float>{0.0999755859375f, infinity, -2.5f}));
  EXPECT_EQ(t.cast(DType::bf16).to_float(), (std::vector<float>{0.10009765625f, 65536.0f, -2.5f}));
}

TEST(Tensor, StringsAreHeldBesideTheBytes) {
  const Tensor t = Tensor::of_strings({2}, {"cat", "dog"});
  EXPECT_EQ(t.dtype(), DType::string);
  EXPECT_EQ(t.bytes(), 0u);
  EXPECT_EQ(t.strings(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_TRUE(Tensor::scalar(1.0f).strings().empty());
}

}  // namespace
}  // namespace nnq
