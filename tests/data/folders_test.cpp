#include "data/folders.h"

#include "data/image.h"
#include "support.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace nnq {
namespace {

using test::holds;
using test::refusal;

class Folders : public test::FolderTest {
 protected:
  std::filesystem::path png(const std::string& name, int width, int height, int channels,
                            const std::vector<std::uint8_t>& pixels) const {
    const std::filesystem::path file = write(name, "");
    EXPECT_NE(stbi_write_png(file.c_str(), width, height, channels, pixels.data(), width * channels), 0);
    return file;
  }
  std::string said(Split split = Split::train) const {
    return refusal([&] { (void)data::samples_from_folders(folder, split); });
  }
};

TEST_F(Folders, ColourBecomesPlanesAndClassesAreSorted) {
  png("dog/b.png", 2, 1, 3, {1, 2, 3, 4, 5, 6});
  png("dog/a.png", 2, 1, 3, {7, 8, 9, 10, 11, 12});
  png("cat/z.png", 2, 1, 3, {20, 21, 22, 23, 24, 25});
  write("cat/.hidden", "not an image");
  write("readme.txt", "beside the classes");
  const Samples samples = data::samples_from_folders(folder, Split::train);
  EXPECT_EQ(samples.classes, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(samples.images.shape(), (Shape{3, 3, 1, 2}));
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{0, 1, 1}));
  EXPECT_EQ(samples.images.to_int64(), (std::vector<std::int64_t>{20, 23, 21, 24, 22, 25,  //
                                                                  7, 10, 8, 11, 9, 12,     //
                                                                  1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(samples.source, folder.string());
}

TEST_F(Folders, GreyIsOneChannelAndAlphaIsDropped) {
  png("a/x.png", 2, 2, 1, {1, 2, 3, 4});
  EXPECT_EQ(data::samples_from_folders(folder, Split::train).images.to_int64(),
            (std::vector<std::int64_t>{1, 2, 3, 4}));
  png("a/x.png", 1, 1, 4, {9, 8, 7, 255});
  EXPECT_EQ(data::samples_from_folders(folder, Split::train).images.to_int64(), (std::vector<std::int64_t>{9, 8, 7}));
}

TEST_F(Folders, JpegIsRead) {
  const auto file = write("a/x.jpg", "");
  const std::vector<std::uint8_t> flat(8 * 8 * 3, 128);
  ASSERT_NE(stbi_write_jpg(file.c_str(), 8, 8, 3, flat.data(), 95), 0);
  const Samples samples = data::samples_from_folders(folder, Split::train);
  EXPECT_EQ(samples.images.shape(), (Shape{1, 3, 8, 8}));
  for (const std::uint8_t v : samples.images.values<std::uint8_t>()) EXPECT_NEAR(v, 128, 2);
}

TEST_F(Folders, TrainAndTestFoldersAreSplits) {
  png("train/a/x.png", 1, 1, 1, {1});
  png("test/a/x.png", 1, 1, 1, {2});
  EXPECT_EQ(data::samples_from_folders(folder, Split::train).images.to_int64(), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(data::samples_from_folders(folder, Split::test).images.to_int64(), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(load_dataset("images:" + folder.string(), Split::test).images.to_int64(), (std::vector<std::int64_t>{2}));
}

TEST_F(Folders, AMissingSplitIsNamed) {
  png("train/a/x.png", 1, 1, 1, {1});
  EXPECT_TRUE(holds(said(Split::test), (folder / "test").string()));
}

// Labels are positions in the list of classes, so both splits must have the same ones.
TEST_F(Folders, TestClassesMustBeTheTrainingClasses) {
  png("train/a/x.png", 1, 1, 1, {1});
  png("train/b/x.png", 1, 1, 1, {1});
  png("test/b/x.png", 1, 1, 1, {2});
  const Samples samples = data::samples_from_folders(folder, Split::test);
  EXPECT_EQ(samples.classes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{1}));
  png("test/c/x.png", 1, 1, 1, {3});
  EXPECT_TRUE(holds(said(Split::test), (folder / "test/c").string()));
}

TEST_F(Folders, UnreadableFilesAreNamed) {
  const auto good = png("a/a.png", 4, 4, 1, std::vector<std::uint8_t>(16, 9));
  const auto bad = write("a/b.png", "no image");
  EXPECT_TRUE(holds(said(), bad.string() + ": is neither PNG nor JPEG"));
  write("a/b.png", "");
  EXPECT_TRUE(holds(said(), bad.string() + ": is neither PNG nor JPEG"));
  std::ifstream in(good, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  write("a/b.png", bytes.substr(0, bytes.size() / 2 + 10));
  EXPECT_TRUE(holds(said(), bad.string() + ": cannot be decoded"));
}

TEST_F(Folders, HugePicturesAreRefusedBeforeTheyAreDecoded) {
  std::string header("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x3f\xff\0\0\x3f\xff\x08\x02\0\0\0\0\0\0\0", 33);
  write("a/a.png", header);
  EXPECT_TRUE(holds(said(), "16383 x 16383 pixels are too many"));
}

// A small picture whose data unpack to 64 MB, or whose chunk claims a gigabyte, is refused without taking the memory.
TEST_F(Folders, BombsAreRefused) {
  const auto chunk = [](const std::string& type, const std::string& data, std::uint32_t claimed) {
    std::string bytes = {static_cast<char>(claimed >> 24), static_cast<char>(claimed >> 16),
                         static_cast<char>(claimed >> 8), static_cast<char>(claimed)};
    return bytes + type + data + "crc!";
  };
  const std::string header = "\x89PNG\r\n\x1a\n" + chunk("IHDR", std::string("\0\0\0\4\0\0\0\4\x08\0\0\0\0", 13), 13);
  uLongf size = compressBound(64 << 20);
  std::string packed(size, '\0');
  const std::string zeros(64 << 20, '\0');
  ASSERT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(zeros.data()),
                     zeros.size()),
            Z_OK);
  packed.resize(size);
  write("a/a.png", header + chunk("IDAT", packed, static_cast<std::uint32_t>(size)) + chunk("IEND", "", 0));
  EXPECT_TRUE(holds(said(), "a.png: cannot be decoded: outofmem"));
  write("a/a.png", header + chunk("IDAT", "short", 1000000000));
  EXPECT_TRUE(holds(said(), "a.png: cannot be decoded: outofmem"));
}

// stb_image writes beyond its tables for these; 16 lengths of 17 codes are 272.
TEST_F(Folders, JpegWithTooManyHuffmanCodesIsRefused) {
  const std::string table = std::string("\x01\x21\x00", 3) + std::string(16, '\x11') + std::string(272, 'v');
  const std::string begin = "\xff\xd8\xff\xe0" + std::string("\x00\x04zz", 4);
  const auto image = [&](const std::string& bytes) {
    return refusal(
        [&] { (void)data::decode_image(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())), "x.jpg"); });
  };
  const std::string said = "x.jpg: cannot be decoded: a Huffman table of more than 256 codes";
  EXPECT_EQ(image(begin + "\xff\xc4" + table), said);
  EXPECT_EQ(image("\xff\xd8\xff\xff\xc4" + table), said);
  EXPECT_EQ(image(begin + "\xff\xda garbage \xff\xc4" + table.substr(0, 20)), said);
  const std::string comment = std::string("\xff\xfe\x01\x26", 4) + "\xff\xc4" + table + "  ";  // only looks like one
  EXPECT_EQ(image(begin + comment), "x.jpg: is neither PNG nor JPEG");
}

// Some of stb_image's assertions can be reached by damaged files.
TEST_F(Folders, DamagedPicturesAreDecodedOrRefused) {
  const auto file = write("a/x.jpg", "");
  std::vector<std::uint8_t> pixels(16 * 16 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i);
  ASSERT_NE(stbi_write_jpg(file.c_str(), 16, 16, 3, pixels.data(), 60), 0);
  std::ifstream in(file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char bits : {'\xff', '\x01', '\x10'}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ bits);
      const std::string text = refusal(
          [&] { (void)data::decode_image(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())), "x.jpg"); });
      refused += text.empty() ? 0 : 1;
      if (!text.empty()) {
        ASSERT_TRUE(holds(text, "x.jpg: "));
      }
    }
  }
  EXPECT_GT(refused, 20);
}

TEST_F(Folders, ImagesMustHaveOneSize) {
  png("a/a.png", 2, 2, 1, {1, 2, 3, 4});
  png("a/b.png", 2, 1, 1, {1, 2});
  EXPECT_TRUE(holds(said(), "b.png: is 1x1x2, the first image is 1x2x2"));
  png("a/b.png", 2, 2, 3, std::vector<std::uint8_t>(12, 1));
  EXPECT_TRUE(holds(said(), "b.png: is 3x2x2, the first image is 1x2x2"));
}

TEST_F(Folders, EmptyOrMissingFoldersAreNamed) {
  EXPECT_TRUE(holds(said(), folder.string() + ": holds no images"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_dataset("images:/nowhere/at/all", Split::train); }),
                    "/nowhere/at/all: is not a directory"));
}

}  // namespace
}  // namespace nnq
