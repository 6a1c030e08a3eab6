#include "core/checksum.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace nnq {
namespace {

std::uint64_t of(std::string_view text) { return checksum64(std::as_bytes(std::span(text.data(), text.size()))); }

/// From xxHash's own implementation.
TEST(Checksum64, IsXxh64) {
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999U);
  EXPECT_EQ(of("a"), 0xD24EC4F1A98C6E5BU);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999U);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1U);
}

TEST(Checksum64, SeesEveryBitWhereverItLies) {
  for (const std::size_t size : {1U, 3U, 7U, 8U, 31U, 32U, 33U, 100U}) {
    std::vector<std::byte> bytes(size + 3, std::byte{0x5a});
    const std::uint64_t expected = checksum64(std::span(bytes).first(size));
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] ^= std::byte{1};
      EXPECT_NE(checksum64(std::span(bytes).first(size)), expected) << i << " of " << size;
      bytes[i] ^= std::byte{1};
    }
    EXPECT_EQ(checksum64(std::span(bytes).subspan(3, size)), expected) << "unaligned";
    EXPECT_NE(checksum64(std::span(bytes).first(size + 1)), expected);
  }
}

}  // namespace
}  // namespace nnq
