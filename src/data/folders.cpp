#include "data/folders.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/atomic_file.h"
#include "core/random.h"
#include "nnq/error.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_MAX_DIMENSIONS 16384
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace nnq::data {
namespace {

namespace fs = std::filesystem;

struct Pixels {
  int width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> chw;
};

Pixels read_image(const fs::path& file) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{64} << 20, bytes));
  Pixels image;
  int in_file = 0;
  const auto* raw = reinterpret_cast<const stbi_uc*>(bytes.data());
  if (stbi_info_from_memory(raw, static_cast<int>(bytes.size()), &image.width, &image.height, &in_file) == 0) {
    throw Error("is neither PNG nor JPEG", file.string());
  }
  if (static_cast<std::int64_t>(image.width) * image.height > 64'000'000)
    throw Error(fmt::format("{} x {} pixels are too many", image.width, image.height), file.string());
  image.channels = in_file <= 2 ? 1 : 3;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> data(
      stbi_load_from_memory(raw, static_cast<int>(bytes.size()), &image.width, &image.height, &in_file, image.channels),
      &stbi_image_free);
  if (!data) throw Error(fmt::format("cannot be decoded: {}", stbi_failure_reason()), file.string());
  const auto plane = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height),
             channels = static_cast<std::size_t>(image.channels);
  image.chw.resize(plane * channels);
  for (std::size_t p = 0; p < plane; ++p) {
    for (std::size_t c = 0; c < channels; ++c) image.chw[c * plane + p] = data.get()[p * channels + c];
  }
  return image;
}

std::vector<fs::path> sorted_entries(const fs::path& folder, bool directories) {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".") || entry.is_directory() != directories) continue;
    entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

Samples samples_from_folders(const fs::path& given, Split split) {
  if (!fs::is_directory(given)) throw Error("is not a directory", given.string(), "expected FOLDER/class/name.png");
  const bool has_splits = fs::is_directory(given / "train") || fs::is_directory(given / "test");
  const fs::path folder = has_splits ? given / (split == Split::test ? "test" : "train") : given;
  if (!fs::is_directory(folder)) throw Error("there is no such split", folder.string(), "expected a directory");
  Samples samples;
  // Labels are positions in the training images' list of classes, whichever split is read.
  for (const fs::path& class_folder :
       sorted_entries(fs::is_directory(given / "train") ? given / "train" : folder, true))
    samples.classes.push_back(class_folder.filename().string());
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
  Pixels first;
  for (const fs::path& class_folder : sorted_entries(folder, true)) {
    const auto known = std::find(samples.classes.begin(), samples.classes.end(), class_folder.filename().string());
    if (known == samples.classes.end()) throw Error("is not a class of the training images", class_folder.string());
    for (const fs::path& file : sorted_entries(class_folder, false)) {
      Pixels image = read_image(file);
      if (labels.empty()) first = image;
      if (image.width != first.width || image.height != first.height || image.channels != first.channels) {
        throw Error(fmt::format("is {}x{}x{}, the first image is {}x{}x{}", image.channels, image.height, image.width,
                                first.channels, first.height, first.width),
                    file.string(), "all images of a set must have one size");
      }
      pixels.insert(pixels.end(), image.chw.begin(), image.chw.end());
      labels.push_back(known - samples.classes.begin());
    }
  }
  if (labels.empty()) throw Error("holds no images", folder.string(), "expected FOLDER/class/name.png");
  samples.images = Tensor::of<std::uint8_t>(
      {static_cast<std::int64_t>(labels.size()), first.channels, first.height, first.width}, pixels);
  samples.labels = Tensor::of<std::int64_t>({static_cast<std::int64_t>(labels.size())}, labels);
  samples.hash = hash64({reinterpret_cast<const char*>(pixels.data()), pixels.size()}, labels.size());
  samples.source = folder.string();
  return samples;
}

}  // namespace nnq::data
