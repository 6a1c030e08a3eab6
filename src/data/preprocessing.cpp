#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq {
namespace {

std::string joined(const auto& values) {
  std::string out;
  for (std::size_t i = 0; i < values.size(); ++i) out += fmt::format("{}{}", i == 0 ? "" : ",", values[i]);
  return out;
}

std::vector<double> numbers(const std::map<std::string, std::string>& metadata, const std::string& key) {
  std::vector<double> values;
  const auto it = metadata.find(key);
  if (it == metadata.end()) return values;
  const std::string& text = it->second;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    char* stop = nullptr;
    const double value = std::strtod(item.c_str(), &stop);
    if (item.empty() || *stop != '\0' || !std::isfinite(value))
      throw Error("'" + item + "' is not a number", "metadata " + key, "the model's metadata are damaged");
    values.push_back(value);
    begin = end + 1;
  }
  return values;
}

}  // namespace

std::map<std::string, std::string> Preprocessing::to_metadata() const {
  std::map<std::string, std::string> metadata = {{"nnq.input.mean", joined(mean)}, {"nnq.input.std", joined(std)}};
  if (!size.empty()) metadata["nnq.input.size"] = joined(size);
  return metadata;
}

Preprocessing Preprocessing::from_metadata(const std::map<std::string, std::string>& metadata) {
  Preprocessing p;
  const auto to_floats = [&](const std::string& key, std::vector<float>& to) {
    const std::vector<double> values = numbers(metadata, key);
    if (values.empty()) return;
    to.clear();
    for (const double v : values) {
      if (std::abs(v) > static_cast<double>(std::numeric_limits<float>::max()))
        throw Error(fmt::format("{} does not fit float32", v), "metadata " + key);
      to.push_back(static_cast<float>(v));
    }
  };
  to_floats("nnq.input.mean", p.mean);
  to_floats("nnq.input.std", p.std);
  for (const double v : numbers(metadata, "nnq.input.size")) {
    if (!(v >= 1 && v <= 1e9) || v != std::floor(v))
      throw Error(fmt::format("{} is not a size", v), "metadata nnq.input.size");
    p.size.push_back(static_cast<std::int64_t>(v));
  }
  for (const float s : p.std) {
    if (!(s > 0)) throw Error("a standard deviation must be above 0", "metadata nnq.input.std");
  }
  return p;
}

Tensor Preprocessing::apply(const Samples& samples, std::span<const std::int64_t> indices) const {
  const Shape& shape = samples.images.shape();
  if (shape.empty()) throw Error("holds no list of samples", samples.source);
  Shape sample(shape.begin() + 1, shape.end());
  if (!size.empty() && size != sample)
    throw Error("the model expects samples " + to_string(size) + ", the data have " + to_string(sample),
                samples.source);
  const std::int64_t channels = sample.empty() ? 1 : sample[0];
  const auto fits = [&](const std::vector<float>& v) {
    return v.size() == 1 || static_cast<std::int64_t>(v.size()) == channels;
  };
  if (!fits(mean) || !fits(std))
    throw Error(
        fmt::format("normalisation has {} means and {} deviations for {} channels", mean.size(), std.size(), channels),
        samples.source);
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= shape[0])
      throw Error(fmt::format("there is no sample {}: {} are there", index, shape[0]), samples.source);
  }
  std::int64_t volume = 1;
  for (const std::int64_t d : sample) volume *= d;
  const std::int64_t plane = channels > 0 ? volume / channels : 0;
  Shape out_shape = {static_cast<std::int64_t>(indices.size())};
  out_shape.insert(out_shape.end(), sample.begin(), sample.end());
  Tensor batch(DType::f32, out_shape);
  float* out = batch.mutable_as<float>();
  for (const std::int64_t index : indices) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float m = mean[mean.size() == 1 ? 0 : static_cast<std::size_t>(c)],
                  s = std[std.size() == 1 ? 0 : static_cast<std::size_t>(c)];
      const std::int64_t at = index * volume + c * plane;
      if (samples.images.dtype() == DType::u8) {
        const auto* in = samples.images.as<std::uint8_t>() + at;
        for (std::int64_t i = 0; i < plane; ++i) *out++ = (static_cast<float>(in[i]) / 255.0f - m) / s;
      } else {
        const float* in = samples.images.as<float>() + at;
        for (std::int64_t i = 0; i < plane; ++i) *out++ = (in[i] - m) / s;
      }
    }
  }
  return batch;
}

}  // namespace nnq
