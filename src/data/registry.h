// What a data set file registers: how to find the set and how to read a split.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nnq/dataset.h"

namespace nnq::data {

/// Where the text of one split of a corpus stands: a share of a file's tokens.
struct TextPart {
  std::filesystem::path file;
  double begin = 0, end = 1;  // of the file's tokens
  bool characters = false;
};

/// The part of a file without splits of its own: 90 : 5 : 5.
TextPart part_of_file(const std::filesystem::path& file, Split split, bool characters);

struct Dataset {
  DatasetInfo info;
  std::vector<std::string> folders;    // tried below each directory of the search path
  std::vector<std::string> must_hold;  // a folder counts when it holds one of these files
  std::function<Samples(const std::filesystem::path& folder, Split split)> load = {};   // images
  std::function<TextPart(const std::filesystem::path& folder, Split split)> text = {};  // corpora
  std::string hint = {};  // how to get the set, when it takes more than a package
};

/// The registered set of this name, or nullptr.
const Dataset* find_set(const std::string& name);
/// The folder of a set. Throws nnq::Error saying where it was looked for and how to get it.
std::filesystem::path require_folder(const Dataset& set);

/// Reads a whole file, through zlib when its name ends in .gz. Refuses more than `max_bytes` of content.
std::vector<std::byte> read_maybe_gzip(const std::filesystem::path& file, std::size_t max_bytes);

/// The file `name` or `name`.gz in `folder`; throws when neither is there.
std::filesystem::path plain_or_gzip(const std::filesystem::path& folder, const std::string& name);

/// An IDX file of unsigned bytes: the dimensions and where the data begin. Throws nnq::Error naming file and offset.
Tensor parse_idx(std::span<const std::byte> bytes, const std::string& name);

/// Images [n, h, w] and labels [n] of a pair of IDX files as samples.
Samples samples_from_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                         std::vector<std::string> classes);

/// CIFAR records: `label_bytes` labels (the last counts) and 3 x 32 x 32 bytes each; any whole number of records a
/// file.
Samples samples_from_cifar(const std::vector<std::filesystem::path>& files, int label_bytes,
                           std::vector<std::string> classes);

}  // namespace nnq::data

/// Last line of a data set file: NNQ_DATASET(mnist) { return {...}; }
#define NNQ_DATASET(id)                 \
  namespace nnq::data {                 \
  ::nnq::data::Dataset register_##id(); \
  }                                     \
  ::nnq::data::Dataset nnq::data::register_##id()
