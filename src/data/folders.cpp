#include "data/folders.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/atomic_file.h"
#include "core/random.h"
#include "data/image.h"
#include "nnq/error.h"

namespace nnq::data {
namespace {

namespace fs = std::filesystem;

Pixels read_image(const fs::path& file) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{64} << 20, bytes));
  return decode_image(bytes, file.string());
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
