#include <algorithm>
#include <cstring>

#include "runtime/plan.h"

namespace nnq {

EpilogueWriter::EpilogueWriter(const PlanContext& plan, const Step& step)
    : e_(step.epilogue),
      out_(plan.slot(step.outputs[0])),
      kernels_(epilogue_kernels(plan.isa)),
      channels_(step.kind == StepKind::threshold ? out_.channels() : step.out_channels),
      real_{} {
  const CodeType& code = plan.code(step.outputs[0]);
  if (e_.kind == Epilogue::Kind::thresholds) {
    const bool bits = out_.storage == Storage::bits;
    thresholds_.make(channels_, e_.levels, e_.thresholds.data(), e_.direction.data(), bits ? 0 : e_.first,
                     bits ? 1 : e_.step, bits ? 0 : code.min);
    return;
  }
  if (e_.kind == Epilogue::Kind::none) return;
  real_.channels = channels_;
  real_.a = e_.a.data(), real_.b = e_.b.data();
  real_.relu = e_.relu;
  real_.output = e_.kind == Epilogue::Kind::affine ? RealCall::Output::floats
                 : out_.storage == Storage::bits   ? RealCall::Output::bits
                 : code.sign                       ? RealCall::Output::signs
                                                   : RealCall::Output::codes;
  real_.scale = e_.scale, real_.min = e_.min, real_.max = e_.max, real_.base = code.min;
  if (e_.residual_a.empty()) return;
  residual_ = &plan.slot(step.inputs[1]);
  real_.residual = residual_->storage == Storage::sums    ? RealCall::Residual::sums
                   : residual_->storage == Storage::bytes ? RealCall::Residual::bytes
                                                          : RealCall::Residual::bits;
  real_.residual_min = plan.code(step.inputs[1]).min;
  real_.residual_a = e_.residual_a.data(), real_.residual_b = e_.residual_b.data();
}

void EpilogueWriter::thresholds(const std::int32_t* sums, std::int64_t stride, std::int64_t first,
                                std::int64_t count) const {
  if (out_.storage == Storage::bits)
    kernels_.bits({&thresholds_, sums, stride, count, out_.as<std::uint32_t>() + first * out_.words()});
  else
    kernels_.codes({&thresholds_, sums, stride, count, out_.as<std::uint8_t>() + first * channels_});
}

void EpilogueWriter::real(const std::int32_t* sums, std::int64_t stride, std::int64_t first, std::int64_t count) const {
  RealCall call = real_;
  call.sums = sums, call.stride = stride, call.count = count;
  if (residual_ != nullptr) {
    call.residual_data = residual_->storage == Storage::sums
                             ? static_cast<const void*>(residual_->as<std::int32_t>() + first * channels_)
                         : residual_->storage == Storage::bytes
                             ? static_cast<const void*>(residual_->as<std::uint8_t>() + first * channels_)
                             : static_cast<const void*>(residual_->as<std::uint32_t>() + first * residual_->words());
  }
  if (call.output == RealCall::Output::bits) {
    call.out = out_.as<std::uint32_t>() + first * out_.words();
  } else if (call.output != RealCall::Output::floats) {
    call.out = out_.as<std::uint8_t>() + first * channels_;
  } else if (out_.shape.size() != 4) {
    call.out = out_.as<float>() + first * channels_;
    call.position_stride = channels_;
  } else {  // NCHW; a call stays within one image
    const std::int64_t plane = out_.shape[2] * out_.shape[3], in_image = std::min(count, plane - first % plane);
    call.count = in_image;
    call.out = out_.as<float>() + first / plane * plane * channels_ + first % plane;
    call.channel_stride = plane;
    call.position_stride = 1;
    kernels_.real(call);
    if (in_image < count) real(sums + in_image * stride, stride, first + in_image, count - in_image);
    return;
  }
  kernels_.real(call);
}

void EpilogueWriter::write(const std::int32_t* sums, std::int64_t stride, std::int64_t first,
                           std::int64_t count) const {
  if (count == 0) return;
  if (e_.kind == Epilogue::Kind::thresholds) {
    thresholds(sums, stride, first, count);
  } else if (e_.kind != Epilogue::Kind::none) {
    real(sums, stride, first, count);
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(out_.as<std::int32_t>() + (first + i) * channels_, sums + i * stride,
                  static_cast<std::size_t>(channels_) * 4);
  }
}

}  // namespace nnq
