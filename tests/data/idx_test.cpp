#include <limits>

#include "data/registry.h"
#include "support.h"

namespace nnq {
namespace {

using test::gzipped;
using test::holds;
using test::refusal;

std::string big_endian(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

std::string idx(const std::vector<std::uint32_t>& dims, const std::string& data) {
  std::string bytes = {0, 0, 8, static_cast<char>(dims.size())};
  for (const std::uint32_t d : dims) bytes += big_endian(d);
  return bytes + data;
}

const std::string pixels = "abcdefghijklmnopqrstuvwx";  // 2 images of 3 x 4

Tensor parse_idx(const std::string& bytes) {
  return data::parse_idx(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())), "x.idx");
}

using Idx = test::FolderTest;

TEST_F(Idx, ReadsPlainAndGzipAlike) {
  const std::string images = idx({2, 3, 4}, pixels), labels = idx({2}, {1, 0});
  const Samples plain = data::samples_from_idx(write("i", images), write("l", labels), {"a", "b"});
  EXPECT_EQ(plain.images.shape(), (Shape{2, 1, 3, 4}));
  EXPECT_EQ(plain.images.dtype(), DType::u8);
  EXPECT_EQ(std::string(plain.images.as<char>(), 24), pixels);
  EXPECT_EQ(plain.labels.to_int64(), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(plain.classes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(plain.source, folder.string());
  const Samples zipped =
      data::samples_from_idx(write("i.gz", gzipped(images)), write("l.gz", gzipped(labels)), {"a", "b"});
  EXPECT_EQ(zipped.images, plain.images);
  EXPECT_EQ(zipped.labels, plain.labels);
  EXPECT_EQ(zipped.hash, plain.hash) << "the hash is of the content, not of the packing";
  const Samples other = data::samples_from_idx(write("i", images), write("l", idx({2}, {1, 1})), {"a", "b"});
  EXPECT_NE(other.hash, plain.hash);
}

TEST_F(Idx, EveryTruncationIsRefusedNamingFileAndOffset) {
  const std::string whole = idx({2, 3, 4}, pixels);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string said = refusal([&] { (void)parse_idx(whole.substr(0, size)); });
    EXPECT_TRUE(holds(said, "x.idx: offset ")) << size;
  }
  EXPECT_TRUE(holds(refusal([&] { (void)parse_idx(whole + "!"); }), "needs 24 bytes, the file has 25"));
  EXPECT_EQ(parse_idx(whole).shape(), (Shape{2, 3, 4}));
}

TEST_F(Idx, WrongMagicTypeAndRankAreToldApart) {
  std::string bytes = idx({2, 3, 4}, pixels);
  bytes[0] = 1;
  EXPECT_TRUE(holds(refusal([&] { (void)parse_idx(bytes); }), "x.idx: offset 0: expected magic 0x0000, got 0x0100"));
  bytes[0] = 0;
  bytes[2] = 0x0d;
  EXPECT_TRUE(holds(refusal([&] { (void)parse_idx(bytes); }), "x.idx: offset 2: expected element type 0x08"));
  bytes[2] = 8;
  for (const char rank : {'\0', '\5', '\xff'}) {
    bytes[3] = rank;
    EXPECT_TRUE(holds(refusal([&] { (void)parse_idx(bytes); }), "x.idx: offset 3: expected 1 to 4 dimensions"));
  }
}

// A header that promises more than the file holds is refused before anything of that size is asked for.
TEST_F(Idx, HugeClaimsAreRefusedWithoutAllocating) {
  EXPECT_TRUE(holds(refusal([&] {
                      (void)parse_idx(idx({1000000000, 28, 28}, pixels));
                    }),
                    "shape [1000000000, 28, 28] needs 784000000000 bytes, the file has 24"));
  constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  EXPECT_TRUE(holds(refusal([&] { (void)parse_idx(idx({most, most, most, most}, pixels)); }), "needs too many bytes"));
}

TEST_F(Idx, ImagesAndLabelsMustAgree) {
  const auto images = write("i", idx({2, 3, 4}, pixels));
  const auto with = [&](const std::string& labels) {
    return refusal([&] { (void)data::samples_from_idx(images, write("l", labels), {"a", "b"}); });
  };
  EXPECT_EQ(with(idx({2}, {0, 1})), "");
  EXPECT_TRUE(holds(with(idx({3}, {0, 1, 0})), (folder / "l").string() + ": 3 labels for 2 images"));
  EXPECT_TRUE(holds(with(idx({2}, {0, 2})), (folder / "l").string() + ": offset 9: label 2 is outside 0..1"));
  EXPECT_TRUE(holds(with(idx({2}, {'\xff', 0})), "offset 8: label 255 is outside 0..1"));
  EXPECT_TRUE(holds(with(idx({2, 1}, {0, 1})), "expected labels [count], got [2, 1]"));
  EXPECT_TRUE(holds(refusal([&] {
                      (void)data::samples_from_idx(write("l", idx({2}, {0, 1})), images, {"a", "b"});
                    }),
                    "expected images [count, height, width], got [2]"));
}

TEST_F(Idx, DamagedGzipIsRefusedNamingTheFile) {
  const std::string content = idx({60, 28, 28}, std::string(60 * 28 * 28, 'x')), whole = gzipped(content);
  const auto read = [&](const std::string& bytes) {
    return refusal([&] {
      const auto got = data::read_maybe_gzip(write("i.gz", bytes), 1 << 20);
      EXPECT_EQ(got.size(), content.size());
    });
  };
  EXPECT_EQ(read(whole), "");
  for (const std::size_t size : {std::size_t{1}, std::size_t{9}, whole.size() / 2, whole.size() - 8, whole.size() - 1})
    EXPECT_TRUE(holds(read(whole.substr(0, size)), (folder / "i.gz").string())) << size;
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // of the checksum
  EXPECT_TRUE(holds(read(damaged), "damaged gzip data"));
  EXPECT_TRUE(holds(read(content), "i.gz")) << "not gzip at all";
  EXPECT_TRUE(holds(refusal([&] { (void)data::read_maybe_gzip(folder / "none.gz", 100); }), "none.gz"));
}

TEST_F(Idx, GzipThatUnpacksBeyondTheLimitIsRefused) {
  const auto file = write("bomb.gz", gzipped(std::string(8 << 20, 'x')));
  EXPECT_LT(std::filesystem::file_size(file), 10000u);
  EXPECT_TRUE(holds(refusal([&] { (void)data::read_maybe_gzip(file, 1 << 20); }), "unpacks to more than the 1048576"));
}

TEST_F(Idx, PlainIsPreferredAndAMissingFileIsNamed) {
  write("a.gz", "");
  EXPECT_EQ(data::plain_or_gzip(folder, "a"), folder / "a.gz");
  write("a", "");
  EXPECT_EQ(data::plain_or_gzip(folder, "a"), folder / "a");
  EXPECT_TRUE(holds(refusal([&] { (void)data::plain_or_gzip(folder, "b"); }), (folder / "b").string()));
}

}  // namespace
}  // namespace nnq
