#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/random.h"
#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq {

/// A producer thread keeps a few batches ahead. What a batch holds depends on (seed, epoch, position) alone.
struct BatchLoader::State {
  static constexpr std::size_t ahead = 4;

  const Samples* samples;
  Preprocessing preprocessing;
  Options options;
  std::int64_t count, batch_count;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Batch> ready;
  bool stop = false, finished = true;
  std::exception_ptr error;
  std::thread producer;

  ~State() { halt(); }

  void halt() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    if (producer.joinable()) producer.join();
    ready.clear();
    stop = false;
    error = nullptr;
  }

  void produce(std::int64_t epoch, std::int64_t first) {
    try {
      std::vector<std::int64_t> order;
      if (options.shuffle) order = Random(options.seed, "shuffle " + std::to_string(epoch)).permutation(count);
      for (std::int64_t b = first; b < batch_count; ++b) {
        Batch batch = make(order, epoch, b);
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || ready.size() < ahead; });
        if (stop) return;
        ready.push_back(std::move(batch));
        changed.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex);
    finished = true;
    changed.notify_all();
  }

  Batch make(const std::vector<std::int64_t>& order, std::int64_t epoch, std::int64_t number) const {
    const std::int64_t begin = number * options.batch, end = std::min(begin + options.batch, count);
    std::vector<std::int64_t> indices;
    for (std::int64_t i = begin; i < end; ++i)
      indices.push_back(order.empty() ? i : order[static_cast<std::size_t>(i)]);
    Batch batch;
    batch.images = preprocessing.apply(*samples, indices);
    batch.labels = Tensor(DType::i64, {end - begin});
    auto* labels = batch.labels.mutable_as<std::int64_t>();
    for (std::size_t i = 0; i < indices.size(); ++i) labels[i] = samples->labels.as<std::int64_t>()[indices[i]];
    if (batch.images.rank() == 4 && (options.augmentation.shift > 0 || options.augmentation.flip))
      augment(batch.images, epoch, begin);
    return batch;
  }

  /// Random shift with pixel-0 padding and random flip, sample by sample. Sample p of an epoch draws from a stream of
  /// its own.
  void augment(Tensor& images, std::int64_t epoch, std::int64_t begin) const {
    const Shape& shape = images.shape();
    const std::int64_t channels = shape[1], height = shape[2], width = shape[3];
    std::vector<float> pad(static_cast<std::size_t>(channels)), source(static_cast<std::size_t>(height * width));
    for (std::size_t c = 0; c < pad.size(); ++c) {
      const auto pick = [c](const std::vector<float>& v) { return v[v.size() == 1 ? 0 : c]; };
      pad[c] = (0.0f - pick(preprocessing.mean)) / pick(preprocessing.std);
    }
    float* pixels = images.mutable_as<float>();
    for (std::int64_t n = 0; n < shape[0]; ++n) {
      // Not symmetric in the two: seed 1 in epoch 2 is not seed 2 in epoch 1.
      Random random(mix64(mix64(options.seed) + static_cast<std::uint64_t>(epoch)),
                    static_cast<std::uint64_t>(begin + n));
      const std::int64_t reach = options.augmentation.shift;
      const auto offset = [&] {
        return reach > 0 ? static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * reach + 1))) - reach
                         : 0;
      };
      const std::int64_t dy = offset(), dx = offset();
      const bool flip = options.augmentation.flip && (random.next() >> 63) != 0;
      for (std::int64_t c = 0; c < channels; ++c) {
        float* plane = pixels + (n * channels + c) * height * width;
        std::memcpy(source.data(), plane, source.size() * sizeof(float));
        for (std::int64_t y = 0; y < height; ++y) {
          for (std::int64_t x = 0; x < width; ++x) {
            const std::int64_t sy = y + dy, sx = (flip ? width - 1 - x : x) + dx;
            const bool inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
            plane[y * width + x] =
                inside ? source[static_cast<std::size_t>(sy * width + sx)] : pad[static_cast<std::size_t>(c)];
          }
        }
      }
    }
  }
};

BatchLoader::BatchLoader(const Samples& samples, Preprocessing preprocessing, Options options)
    : state_(std::make_unique<State>()) {
  if (options.batch < 1) throw Error("the batch must have at least one sample");
  if (options.augmentation.shift < 0) throw Error("the shift of the augmentation must not be negative");
  state_->samples = &samples;
  state_->preprocessing = std::move(preprocessing);
  state_->options = options;
  state_->count = samples.images.defined() ? samples.images.shape()[0] : 0;
  state_->batch_count =
      options.drop_last ? state_->count / options.batch : (state_->count + options.batch - 1) / options.batch;
}

BatchLoader::~BatchLoader() = default;
BatchLoader::BatchLoader(BatchLoader&&) noexcept = default;

std::int64_t BatchLoader::batches() const { return state_->batch_count; }

void BatchLoader::start(std::int64_t epoch, std::int64_t first) {
  if (first < 0) throw Error("an epoch cannot start before its first batch");
  state_->halt();
  state_->finished = false;
  state_->producer = std::thread([state = state_.get(), epoch, first] { state->produce(epoch, first); });
}

bool BatchLoader::next(Batch& batch) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return !state_->ready.empty() || state_->finished; });
  if (state_->ready.empty()) {
    if (state_->error) std::rethrow_exception(state_->error);
    return false;
  }
  batch = std::move(state_->ready.front());
  state_->ready.pop_front();
  state_->changed.notify_all();
  return true;
}

}  // namespace nnq
