#include "train/pixels.h"

#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::train {

at::Tensor pixels_of(const Samples& samples, std::span<const std::int64_t> indices) {
  const at::Tensor pixels = to_torch(Preprocessing{}.apply(samples, indices));
  const bool inside = pixels.numel() == 0 || (pixels.min().item<float>() >= 0 && pixels.max().item<float>() <= 1);
  NNQ_CHECK(inside, "holds values outside 0..1: they are no pixels", samples.source,
            "attacks perturb images; give bytes, or floats in 0..1");
  return pixels;
}

Normalisation::Normalisation(const Preprocessing& preprocessing)
    : mean_(at::tensor(preprocessing.mean)), std_(at::tensor(preprocessing.std)) {}

at::Tensor Normalisation::along_channels(const at::Tensor& values, const at::Tensor& like) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  NNQ_CHECK(values.numel() == 1 || (like.dim() > 1 && values.numel() == like.size(1)),
            "normalisation has " + std::to_string(values.numel()) + " values for images of shape " +
                to_string(like.sizes().vec()));
  if (values.numel() > 1) shape[1] = values.numel();
  return values.reshape(shape);
}

at::Tensor Normalisation::apply(const at::Tensor& pixels) const {
  return at::div(at::sub(pixels, along_channels(mean_, pixels)), along_channels(std_, pixels));
}

at::Tensor Normalisation::undo(const at::Tensor& input) const {
  return (input * along_channels(std_, input) + along_channels(mean_, input)).clamp_(0, 1);
}

}  // namespace nnq::train
