// Look-ups of multi-bit vectors, their real values, and their products with a matrix.
#include <algorithm>

#include "kernels/aligned.h"
#include "kernels/decompose/decompose.h"
#include "pack/vector_code.h"
#include "runtime/plan.h"
#include "runtime/steps/integer_product.h"
#include "runtime/steps/recurrent.h"
#include "runtime/steps/vector_product.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

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

class VectorQuantize final : public PreparedStep {
 public:
  VectorQuantize(const PlanContext& plan, const Step& step)
      : code_{step.recurrence.uniform, step.recurrence.state_bits, step.recurrence.state_cycles},
        x_(plan.slot(step.inputs[0])),
        codes_(plan.slot(step.outputs[0])),
        scales_(plan.slot(step.outputs[1])),
        decompose_(decompose_kernel(plan.isa)) {
    kernel = code_.uniform ? "quantize_uniform" : decompose_.name;
    scratch_bytes = static_cast<std::size_t>(codes_.channels()) * 4;
  }

  Status run(ThreadPool&) override {
    const std::int64_t n = codes_.channels(), vectors = codes_.positions();
    for (std::int64_t v = 0; v < vectors; ++v) {
      const float* x = x_.as<float>() + v * n;
      float *const scales = scales_.as<float>() + v * code_.scales(), *const values = reinterpret_cast<float*>(scratch);
      std::uint8_t* codes = codes_.as<std::uint8_t>() + v * n;
      if (code_.uniform)
        quantize_vector(code_, x, n, scales, codes, values);
      else
        decompose_.run({x, n, code_.bits, code_.cycles, scales, codes, values});
    }
    return {};
  }

 private:
  VectorCode code_;
  const Slot &x_, &codes_, &scales_;
  const DecomposeKernel& decompose_;
};

class VectorLevels final : public PreparedStep {
 public:
  VectorLevels(const PlanContext& plan, const Step& step)
      : codes_(plan.slot(step.inputs[0])),
        scales_(plan.slot(step.inputs[1])),
        y_(plan.slot(step.outputs[0])),
        uniform_(is_uniform(plan.code(step.inputs[0]))) {
    kernel = "vector_levels";
  }

  Status run(ThreadPool&) override {
    const std::int64_t n = codes_.channels(), positions = codes_.positions(), bits = scales_.channels();
    float levels[256];
    for (std::int64_t p = 0; p < positions; ++p) {
      if (uniform_)
        uniform_levels(scales_.as<float>()[p], levels);
      else
        vector_levels({scales_.as<float>() + p * bits, static_cast<std::size_t>(bits)}, levels);
      const std::uint8_t* codes = codes_.as<std::uint8_t>() + p * n;
      float* y = y_.as<float>() + p * n;
      for (std::int64_t i = 0; i < n; ++i) y[i] = levels[codes[i]];
    }
    return {};
  }

 private:
  static void uniform_levels(float scale, float* levels) {
    for (int stored = 0; stored < 256; ++stored)
      levels[stored] = scale * static_cast<float>(stored - uniform_vector_zero);
  }

  const Slot &codes_, &scales_, &y_;
  bool uniform_;
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
                                             return std::make_shared<const VectorProduct>(
                                                 step.weights, step.planes, step.out_channels, step.in_channels,
                                                 static_cast<int>(scales_.channels()), plan.isa);
                                           })),
        product_(*shared_),
        planes_(static_cast<int>(scales_.channels())),
        positions_(codes_.positions()) {
    kernel = std::string("vectors_") + product_.kernel();
    operations = 2 * positions_ * step.weights.count;
    ceiling = product_.ceiling();
    ceiling_share = product_.ceiling_share();
    weight_bytes = product_.weight_bytes();
    parts_ = plan.threads == 1 ? 1 : std::min<std::int64_t>(positions_ * product_.chunks(), plan.threads * 4);
    vector_bytes_ = static_cast<std::size_t>(planes_ * product_.words()) * 8;
    set_at_ = whole_lines(vector_bytes_ * static_cast<std::size_t>(positions_));
    counts_at_ = set_at_ + whole_lines(static_cast<std::size_t>(planes_ * positions_) * 4);
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
      const std::int64_t begin = items * part / parts_;
      for (std::int64_t i = begin; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t position = i % positions_;
        product_.run({planes_of(position), set + position * planes_, scales_.as<float>() + position * planes_, planes_},
                     i / positions_, bias_, y_.as<float>() + position * product_.rows(), counts,
                     positions_ == 1 && i > begin);
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

/// The same on uniform vectors.
class UniformDense final : public PreparedStep {
 public:
  UniformDense(const PlanContext& plan, const Step& step)
      : codes_(plan.slot(step.inputs[0])),
        scales_(plan.slot(step.inputs[1])),
        y_(plan.slot(step.outputs[0])),
        bias_(step.epilogue.b.empty() ? nullptr : step.epilogue.b.data()),
        shared_(plan.shared<IntegerProduct>(step, "product",
                                            [&] {
                                              return std::make_shared<const IntegerProduct>(step.weights, step.planes,
                                                                                            step.out_channels,
                                                                                            step.in_channels, plan.isa);
                                            })),
        product_(*shared_),
        positions_(codes_.positions()),
        groups_((positions_ + matvec_batch - 1) / matvec_batch) {
    kernel = text("vectors_", product_.kernel());
    operations = 2 * positions_ * step.weights.count;
    ceiling = product_.ceiling();
    ceiling_share = product_.ceiling_share();
    weight_bytes = product_.weight_bytes();
    parts_ = plan.threads == 1 ? 1 : std::min<std::int64_t>(groups_ * product_.chunks(), plan.threads * 4);
    totals_at_ = whole_lines(static_cast<std::size_t>(positions_ * product_.padded()));
    sums_at_ = totals_at_ + whole_lines(static_cast<std::size_t>(positions_) * 4);
    scratch_bytes = sums_at_ + IntegerProduct::sum_bytes * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    auto* const codes = reinterpret_cast<std::int8_t*>(scratch);
    auto* const totals = reinterpret_cast<std::int32_t*>(scratch + totals_at_);
    for (std::int64_t p = 0; p < positions_; ++p)
      totals[p] = signed_codes(codes_.as<std::uint8_t>() + p * product_.columns(), product_.columns(),
                               product_.padded(), codes + p * product_.padded());
    const std::int64_t items = groups_ * product_.chunks();
    pool.parallel(parts_, [&](std::int64_t part) {
      auto* const sums = reinterpret_cast<std::int32_t*>(scratch + sums_at_ +
                                                         IntegerProduct::sum_bytes * static_cast<std::size_t>(part));
      for (std::int64_t i = items * part / parts_; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t v = i % groups_ * matvec_batch;
        product_.run({codes + v * product_.padded(), totals + v, scales_.as<float>() + v,
                      std::min(matvec_batch, positions_ - v)},
                     i / groups_, bias_, y_.as<float>() + v * product_.rows(), sums);
      }
    });
    return {};
  }

 private:
  const Slot &codes_, &scales_, &y_;
  const float* bias_;
  std::shared_ptr<const IntegerProduct> shared_;
  const IntegerProduct& product_;
  std::int64_t positions_, groups_, parts_ = 1;
  std::size_t totals_at_ = 0, sums_at_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_vectors(const PlanContext& plan, const Step& step) {
  switch (step.kind) {
    case StepKind::vector_lookup:
      return std::make_unique<VectorLookup>(plan, step);
    case StepKind::vector_levels:
      return std::make_unique<VectorLevels>(plan, step);
    case StepKind::vector_quantize:
      return std::make_unique<VectorQuantize>(plan, step);
    case StepKind::vector_dense:
      if (is_uniform(plan.code(step.inputs[0]))) return std::make_unique<UniformDense>(plan, step);
      return std::make_unique<VectorDense>(plan, step);
    default:
      return make_recurrent(plan, step);
  }
}

}  // namespace nnq
