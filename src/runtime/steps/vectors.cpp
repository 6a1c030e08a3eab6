// Look-ups of multi-bit vectors, their real values, and their products with a matrix.
#include <algorithm>

#include "runtime/plan.h"
#include "runtime/steps/recurrent.h"
#include "runtime/steps/vector_product.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::int64_t elements(const Slot& slot) {
  std::int64_t n = 1;
  for (const std::int64_t d : slot.shape) n *= d;
  return n;
}

class VectorLookup final : public PreparedStep {
 public:
  VectorLookup(const PlanContext& plan, const Step& step)
      : step_(step),
        numbers_(plan.slot(step.inputs[0])),
        codes_(plan.slot(step.outputs[0])),
        scales_(plan.slot(step.outputs[1])) {
    kernel = "lookup_packed";
    weight_bytes = static_cast<std::int64_t>(step.weights.plane_bytes()) * step.weights.bits;
  }

  Status run(ThreadPool&) override {
    const std::int64_t count = elements(numbers_), n = step_.in_channels, bits = step_.weights.bits;
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t row = 0;
      NNQ_TRY(lookup_row(step_, numbers_.as<std::int64_t>()[i], row));
      lookup_codes(step_, row, codes_.as<std::uint8_t>() + i * n);
      std::copy_n(step_.planes.weight_scale.data() + row * bits, bits, scales_.as<float>() + i * bits);
    }
    return {};
  }

 private:
  const Step& step_;
  const Slot &numbers_, &codes_, &scales_;
};

class VectorLevels final : public PreparedStep {
 public:
  VectorLevels(const PlanContext& plan, const Step& step)
      : codes_(plan.slot(step.inputs[0])), scales_(plan.slot(step.inputs[1])), y_(plan.slot(step.outputs[0])) {
    kernel = "vector_levels";
  }

  Status run(ThreadPool&) override {
    const std::int64_t n = codes_.channels(), positions = codes_.positions(), bits = scales_.channels();
    float levels[256];
    for (std::int64_t p = 0; p < positions; ++p) {
      vector_levels({scales_.as<float>() + p * bits, static_cast<std::size_t>(bits)}, levels);
      const std::uint8_t* codes = codes_.as<std::uint8_t>() + p * n;
      float* y = y_.as<float>() + p * n;
      for (std::int64_t i = 0; i < n; ++i) y[i] = levels[codes[i]];
    }
    return {};
  }

 private:
  const Slot &codes_, &scales_, &y_;
};

class VectorDense final : public PreparedStep {
 public:
  VectorDense(const PlanContext& plan, const Step& step)
      : codes_(plan.slot(step.inputs[0])),
        scales_(plan.slot(step.inputs[1])),
        y_(plan.slot(step.outputs[0])),
        bias_(step.epilogue.b.empty() ? nullptr : step.epilogue.b.data()),
        shared_(plan.shared<VectorProduct>(step, "product",
                                           [&] {
                                             return std::make_shared<const VectorProduct>(step.weights, step.planes,
                                                                                          step.out_channels,
                                                                                          step.in_channels, plan.isa);
                                           })),
        product_(*shared_),
        planes_(static_cast<int>(scales_.channels())),
        positions_(codes_.positions()) {
    kernel = std::string("vectors_") + product_.kernel();
    operations = 2 * positions_ * step.weights.count;
    weight_bytes = product_.weight_bytes();
    parts_ = plan.threads == 1 ? 1 : std::min<std::int64_t>(positions_ * product_.chunks(), plan.threads * 4);
    vector_bytes_ = static_cast<std::size_t>(planes_ * product_.words()) * 8;
    set_at_ = aligned(vector_bytes_ * static_cast<std::size_t>(positions_));
    counts_at_ = set_at_ + aligned(static_cast<std::size_t>(planes_ * positions_) * 4);
    scratch_bytes = counts_at_ + product_.count_bytes(planes_) * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    auto* const set = reinterpret_cast<std::int32_t*>(scratch + set_at_);
    for (std::int64_t p = 0; p < positions_; ++p)
      pack_vector(codes_.as<std::uint8_t>() + p * product_.columns(), product_.columns(), planes_, product_.words(),
                  planes_of(p), set + p * planes_);
    // A chunk's weights are fetched once for all positions.
    const std::int64_t items = positions_ * product_.chunks();
    pool.parallel(parts_, [&](std::int64_t part) {
      auto* const counts = reinterpret_cast<std::int32_t*>(
          scratch + counts_at_ + product_.count_bytes(planes_) * static_cast<std::size_t>(part));
      for (std::int64_t i = items * part / parts_; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t position = i % positions_;
        product_.run({planes_of(position), set + position * planes_, scales_.as<float>() + position * planes_, planes_},
                     i / positions_, bias_, y_.as<float>() + position * product_.rows(), counts);
      }
    });
    return {};
  }

 private:
  std::uint64_t* planes_of(std::int64_t position) const {
    return reinterpret_cast<std::uint64_t*>(scratch + vector_bytes_ * static_cast<std::size_t>(position));
  }

  const Slot &codes_, &scales_, &y_;
  const float* bias_;
  std::shared_ptr<const VectorProduct> shared_;
  const VectorProduct& product_;
  int planes_;
  std::int64_t positions_, parts_ = 1;
  std::size_t vector_bytes_ = 0, set_at_ = 0, counts_at_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_vectors(const PlanContext& plan, const Step& step) {
  switch (step.kind) {
    case StepKind::vector_lookup:
      return std::make_unique<VectorLookup>(plan, step);
    case StepKind::vector_levels:
      return std::make_unique<VectorLevels>(plan, step);
    case StepKind::vector_dense:
      return std::make_unique<VectorDense>(plan, step);
    default:
      return make_recurrent(plan, step);
  }
}

}  // namespace nnq
