#include "nnq/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/random.h"
#include "core/text.h"
#include "data/folders.h"
#include "data/registry.h"
#include "nnq/error.h"

#define NNQ_ROW(id)        \
  namespace nnq::data {    \
  Dataset register_##id(); \
  }
#include "nnq_registry/data_sets.inc"
#undef NNQ_ROW

namespace nnq {
namespace {

namespace fs = std::filesystem;

const std::vector<data::Dataset>& registry() {
  static const std::vector<data::Dataset> sets = {
#define NNQ_ROW(id) data::register_##id(),
#include "nnq_registry/data_sets.inc"
#undef NNQ_ROW
  };
  return sets;
}

fs::path folder_of(const data::Dataset& set) {
  std::error_code ignored;
  for (const fs::path& root : dataset_search_path()) {
    for (const std::string& folder : set.folders) {
      for (const std::string& file : set.must_hold) {
        if (fs::exists(root / folder / file, ignored)) return root / folder;
      }
    }
  }
  return {};
}

Samples from_npy(const std::string& spec) {
  const std::size_t comma = spec.find(',');
  if (comma == std::string::npos) throw Error("expected npy:IMAGES.npy,LABELS.npy", spec);
  Samples samples;
  samples.images = load_npy(spec.substr(0, comma));
  const Tensor labels = load_npy(spec.substr(comma + 1));
  if (samples.images.dtype() != DType::u8 && samples.images.dtype() != DType::f32) {
    throw Error(std::string("expected uint8 or float32 images, got ") + name_of(samples.images.dtype()),
                spec.substr(0, comma));
  }
  if (samples.images.rank() < 2 || labels.rank() != 1 || labels.shape()[0] != samples.images.shape()[0]) {
    throw Error("images " + to_string(samples.images.shape()) + " and labels " + to_string(labels.shape()) +
                    " do not belong together",
                spec);
  }
  if (size_of(labels.dtype()) == 0 || labels.dtype() == DType::f32 || labels.dtype() == DType::f64 ||
      labels.dtype() == DType::f16)
    throw Error("labels must be integers", spec.substr(comma + 1));
  samples.labels = labels.cast(DType::i64);
  std::int64_t most = -1;
  for (const std::int64_t label : samples.labels.values<std::int64_t>()) {
    if (label < 0 || label > 1'000'000)
      throw Error(fmt::format("label {} is outside 0..1000000", label), spec.substr(comma + 1));
    most = std::max(most, label);
  }
  for (std::int64_t c = 0; c <= most; ++c) samples.classes.push_back("class " + std::to_string(c));
  samples.hash = hash64({reinterpret_cast<const char*>(samples.images.data()), samples.images.bytes()}, 1);
  samples.source = spec;
  return samples;
}

}  // namespace

const data::Dataset* data::find_set(const std::string& name) {
  for (const data::Dataset& set : registry()) {
    if (set.info.name == name) return &set;
  }
  return nullptr;
}

fs::path data::require_folder(const Dataset& set) {
  fs::path folder = folder_of(set);
  if (!folder.empty()) return folder;
  std::string looked;
  for (const fs::path& root : dataset_search_path())
    looked += (looked.empty() ? "" : ", ") + (root / set.folders.front()).string();
  throw Error("data set '" + set.info.name + "' was not found; looked for " + looked, {},
              !set.hint.empty()          ? set.hint
              : set.info.package.empty() ? "put it there or set NNQ_DATA"
                                         : "apt-get install " + set.info.package + ", or set NNQ_DATA");
}

std::vector<DatasetInfo> all_datasets() {
  std::vector<DatasetInfo> infos;
  for (const data::Dataset& set : registry()) infos.push_back(set.info);
  return infos;
}

std::vector<fs::path> dataset_search_path() {
  std::vector<fs::path> path;
  if (const char* list = std::getenv("NNQ_DATA"); list != nullptr) {
    const std::string text = list;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(':', begin), text.size());
      if (end > begin) path.emplace_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  if (const char* home = std::getenv("HOME"); home != nullptr) path.emplace_back(fs::path(home) / ".cache/nnq/data");
  path.emplace_back("/usr/share/datasets");
  return path;
}

fs::path find_dataset(const std::string& name) {
  const data::Dataset* set = data::find_set(name);
  return set == nullptr ? fs::path() : folder_of(*set);
}

Samples load_dataset(const std::string& spec, Split split) {
  if (spec.starts_with("images:")) return data::samples_from_folders(spec.substr(7), split);
  if (spec.starts_with("npy:")) return from_npy(spec.substr(4));
  const data::Dataset* set = data::find_set(spec);
  if (set == nullptr) {
    std::vector<std::string> names;
    for (const data::Dataset& s : registry()) names.push_back(s.info.name);
    throw Error("there is no data set '" + spec + "'", {},
                suggestion(spec, names) + "; or images:FOLDER, npy:IMAGES,LABELS, text:FILE, chars:FILE");
  }
  if (set->text)
    throw Error("data set '" + spec + "' is text; here images are needed", {}, "language models read text");
  return set->load(data::require_folder(*set), split);
}

Samples split_off(Samples& train, std::int64_t count, std::uint64_t seed) {
  const std::int64_t total = train.images.shape()[0];
  if (count < 0 || count >= total)
    throw Error(fmt::format("cannot hold out {} of {} samples", count, total), {}, "choose a smaller validation slice");
  std::vector<std::int64_t> order = Random(seed, "split").permutation(total);
  std::vector<std::int64_t> held(order.begin(), order.begin() + count), kept(order.begin() + count, order.end());
  std::sort(held.begin(), held.end());
  std::sort(kept.begin(), kept.end());
  const auto take = [&](const std::vector<std::int64_t>& indices) {
    Samples part;
    Shape shape = train.images.shape();
    shape[0] = static_cast<std::int64_t>(indices.size());
    part.images = Tensor(train.images.dtype(), shape);
    part.labels = Tensor(DType::i64, {shape[0]});
    const std::size_t bytes = train.images.bytes() / static_cast<std::size_t>(total);
    std::byte* images = part.images.mutable_data();
    auto* labels = part.labels.mutable_as<std::int64_t>();
    for (std::size_t i = 0; i < indices.size(); ++i) {
      std::copy_n(train.images.data() + static_cast<std::size_t>(indices[i]) * bytes, bytes, images + i * bytes);
      labels[i] = train.labels.as<std::int64_t>()[indices[i]];
    }
    part.classes = train.classes;
    part.hash = train.hash;
    part.source = train.source;
    return part;
  };
  Samples validation = take(held);
  train = take(kept);
  return validation;
}

}  // namespace nnq
