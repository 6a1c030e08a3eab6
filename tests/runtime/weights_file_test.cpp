// The file of a weights cache, byte by byte: what was written is read, and nothing that was damaged is believed.
#include "runtime/weights_file.h"

#include <gtest/gtest.h>

#include "core/atomic_file.h"
#include "runtime/weights_folder.h"

namespace nnq::test {
namespace {

enum class Colour : std::uint8_t { red, green };

struct Part {
  PackedArray<float> values;
  int bits = 0;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.values, self.bits);
  }
};

struct Packed {
  AlignedBytes bytes;
  std::int64_t rows = 0;
  bool flag = false;
  Colour colour = Colour::red;
  std::vector<Part> parts;
  PackedArray<std::int16_t> none;
  int unlisted = 7;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.bytes, self.rows, self.flag, self.colour, self.parts, self.none);
  }
  void found() { unlisted = 8; }
};

Packed example() {
  Packed p;
  p.bytes.assign(70, 3);
  p.rows = -5, p.flag = true, p.colour = Colour::green;
  for (int i = 1; i <= 2; ++i) {
    p.parts.emplace_back();
    p.parts.back().values.assign(static_cast<std::size_t>(i), 0.5F);
    p.parts.back().bits = i;
  }
  return p;
}

constexpr std::uint64_t content = 42;

class WeightsFile : public ::testing::Test {
 protected:
  /// Two entries, and the bytes of their file on a cache line.
  void SetUp() override {
    const Packed one = example(), two;
    WeightsEntries entries;
    entries["one"] = weights_entry(parts_of(one));
    entries["two"] = weights_entry(parts_of(two));
    const std::string file = (folder_.path() / "made/weights").string();
    const Status written = write_weights(file, content, entries);
    ASSERT_TRUE(written.ok()) << written.message();
    std::vector<std::byte> read;
    ASSERT_TRUE(try_read_file(file, 1 << 20, read).ok());
    bytes_.assign(std::span<const std::byte>(read));
  }
  std::span<const std::byte> all() const { return {bytes_.data(), static_cast<std::size_t>(bytes_.size())}; }
  /// What is wrong with the file, or with an entry in it; "": nothing.
  static std::string fault(std::span<const std::byte> bytes) {
    WeightsEntries entries;
    const Status status = read_weights(bytes, content, entries);
    if (!status.ok()) return status.message();
    for (const auto& [key, entry] : entries) {
      if (!entry.intact()) return key;
      if (packed_of<Packed>(entry.parts, nullptr) == nullptr) return "not a Packed";
    }
    return entries.size() == 2 ? "" : "not two entries";
  }

  WeightsFolder folder_;
  PackedArray<std::byte> bytes_;
};

TEST_F(WeightsFile, GivesBackWhatWasWritten) {
  ASSERT_EQ(fault(all()), "");
  WeightsEntries entries;
  ASSERT_TRUE(read_weights(all(), content, entries).ok());
  const auto owner = std::make_shared<int>(0);
  const std::shared_ptr<const Packed> one = packed_of<Packed>(entries.at("one").parts, owner);
  const Packed expected = example();
  EXPECT_TRUE(std::equal(one->bytes.begin(), one->bytes.end(), expected.bytes.begin(), expected.bytes.end()));
  EXPECT_EQ(one->rows, -5);
  EXPECT_TRUE(one->flag);
  EXPECT_EQ(one->colour, Colour::green);
  ASSERT_EQ(one->parts.size(), 2U);
  EXPECT_EQ(one->parts[1].bits, 2);
  ASSERT_EQ(one->parts[1].values.size(), 2);
  EXPECT_EQ(one->parts[1].values[1], 0.5F);
  EXPECT_EQ(one->unlisted, 8);
  // They lie in the file, on a line, and keep it.
  for (const std::byte* at : {reinterpret_cast<const std::byte*>(one->bytes.data()),
                              reinterpret_cast<const std::byte*>(one->parts[0].values.data())}) {
    EXPECT_TRUE(at >= all().data() && at < all().data() + all().size());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % 64, 0U);
  }
  EXPECT_GT(owner.use_count(), 1);
  EXPECT_EQ(packed_bytes(entries.at("one").parts), 70 + 4 + 8);
}

TEST_F(WeightsFile, NoChangedByteGoesUnseen) {
  std::size_t gaps = 0;
  for (std::size_t i = 0; i < all().size(); ++i) {
    bytes_[i] ^= std::byte{0x10};
    const bool seen = !fault(all()).empty();
    bytes_[i] ^= std::byte{0x10};
    ASSERT_TRUE(seen || bytes_[i] == std::byte{}) << "only what lies between arrays may change, not byte " << i;
    gaps += seen ? 0 : 1;
  }
  EXPECT_LT(gaps, 6U * 64) << "of six arrays";
  EXPECT_EQ(fault(all()), "");
}

TEST_F(WeightsFile, NoOtherLengthIsTaken) {
  for (std::size_t size = 0; size < all().size(); ++size) EXPECT_NE(fault(all().first(size)), "") << size;
  PackedArray<std::byte> longer;
  longer.assign(all().size() + 1);
  std::copy(all().begin(), all().end(), longer.begin());
  EXPECT_NE(fault({longer.data(), all().size() + 1}), "");
}

TEST_F(WeightsFile, SaysWhatItIsNot) {
  WeightsEntries entries;
  EXPECT_NE(read_weights(all(), content + 1, entries).message().find("another model"), std::string::npos);
  bytes_[48] ^= std::byte{1};  // of the version's text
  EXPECT_NE(fault(all()).find("another version"), std::string::npos);
  bytes_[48] ^= std::byte{1};
  bytes_[8] ^= std::byte{1};  // of the format
  EXPECT_NE(fault(all()).find("another version"), std::string::npos);
}

/// As when a type's members change and weights_format does not: refused as far as it can be seen.
TEST_F(WeightsFile, PartsOfAnotherTypeAreRefused) {
  WeightsEntries entries;
  ASSERT_TRUE(read_weights(all(), content, entries).ok());
  EXPECT_EQ(packed_of<Part>(entries.at("one").parts, nullptr), nullptr);
  PackedParts parts = entries.at("one").parts;
  parts.numbers.pop_back();
  EXPECT_EQ(packed_of<Packed>(parts, nullptr), nullptr);
  parts = entries.at("one").parts;
  parts.numbers.push_back(std::byte{});
  EXPECT_EQ(packed_of<Packed>(parts, nullptr), nullptr);
  parts = entries.at("one").parts;
  parts.arrays[0] = parts.arrays[0].first(69);
  EXPECT_EQ(packed_of<Packed>(parts, nullptr), nullptr);
  parts.arrays.clear();
  EXPECT_EQ(packed_of<Packed>(parts, nullptr), nullptr);
}

}  // namespace
}  // namespace nnq::test
