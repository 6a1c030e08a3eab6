#include "train/score_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>

#include "core/random.h"
#include "nnq/error.h"

namespace nnq::train {
namespace {

std::vector<std::uint64_t> hashes(const at::Tensor& images) {
  const at::Tensor whole = images.contiguous();
  const auto count = static_cast<std::size_t>(whole.size(0));
  const std::size_t bytes = count > 0 ? whole.nbytes() / count : 0;
  const auto* data = static_cast<const char*>(whole.data_ptr());
  std::vector<std::uint64_t> keys(count);
  for (std::size_t i = 0; i < count; ++i) keys[i] = hash64(std::string_view(data + i * bytes, bytes));
  return keys;
}

}  // namespace

void ScoreMemory::keep(std::uint64_t key, const float* row) {
  const auto size = static_cast<std::int64_t>(sizeof(float)) * classes_;
  if ((this->size() + 1) * size > bytes_ || !places_.try_emplace(key, this->size()).second) return;
  keys_.push_back(key);
  scores_.insert(scores_.end(), row, row + classes_);
}

at::Tensor ScoreMemory::scores(const at::Tensor& images, const std::function<at::Tensor(const at::Tensor&)>& compute) {
  const std::vector<std::uint64_t> keys = hashes(images);
  std::vector<std::int64_t> missing;
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (!places_.contains(keys[i])) missing.push_back(static_cast<std::int64_t>(i));
  at::Tensor result;
  if (missing.size() == keys.size()) {
    result = compute(images).to(at::kFloat).contiguous();
    classes_ = result.size(1);
  } else {
    result = at::empty({images.size(0), classes_}, at::kFloat);
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (const auto it = places_.find(keys[i]); it != places_.end())
        std::copy_n(scores_.data() + it->second * classes_, classes_,
                    result.data_ptr<float>() + static_cast<std::int64_t>(i) * classes_);
    if (!missing.empty()) {
      const at::Tensor places = at::tensor(missing);
      result.index_copy_(0, places, compute(images.index_select(0, places)).to(at::kFloat));
    }
  }
  for (const std::int64_t i : missing) keep(keys[static_cast<std::size_t>(i)], result.data_ptr<float>() + i * classes_);
  return result;
}

void ScoreMemory::save(std::map<std::string, Tensor>& tensors) const {
  if (keys_.empty()) return;
  Tensor keys(DType::i64, {size()}), scores(DType::f32, {size(), classes_});
  for (std::size_t i = 0; i < keys_.size(); ++i)
    keys.mutable_as<std::int64_t>()[i] = static_cast<std::int64_t>(keys_[i]);
  std::copy(scores_.begin(), scores_.end(), scores.mutable_as<float>());
  tensors["teacher/keys"] = std::move(keys);
  tensors["teacher/scores"] = std::move(scores);
}

void ScoreMemory::restore(const std::map<std::string, Tensor>& tensors) {
  const auto keys = tensors.find("teacher/keys"), scores = tensors.find("teacher/scores");
  if (keys == tensors.end() && scores == tensors.end()) return;
  NNQ_CHECK(keys != tensors.end() && scores != tensors.end() && keys->second.dtype() == DType::i64 &&
                scores->second.dtype() == DType::f32 && scores->second.shape().size() == 2 &&
                keys->second.shape() == Shape{scores->second.shape()[0]},
            "the checkpoint's scores of the teacher do not belong together");
  classes_ = scores->second.shape()[1];
  const auto* key = keys->second.as<std::int64_t>();
  const auto* row = scores->second.as<float>();
  for (std::int64_t i = 0; i < keys->second.shape()[0]; ++i)
    keep(static_cast<std::uint64_t>(key[i]), row + i * classes_);
}

}  // namespace nnq::train
