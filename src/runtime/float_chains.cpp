#include "runtime/float_chains.h"

#include <algorithm>

namespace nnq {

FloatChains::FloatChains(const Program& program, const std::vector<Slot>& slots)
    : program_(program),
      slots_(slots),
      values_(program.values.size()),
      chain_at_(program.steps.size(), -1),
      swallowed_(program.steps.size(), false) {
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    for (const std::int32_t v : program.steps[i].inputs)
      if (v >= 0) values_[static_cast<std::size_t>(v)].readers.push_back(i);
    for (const std::int32_t v : program.steps[i].outputs)
      if (v >= 0) values_[static_cast<std::size_t>(v)].maker = &program.steps[i];
  }
  for (const std::int32_t v : program.outputs) values_[static_cast<std::size_t>(v)].output = true;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (starts(program.steps[i])) {
      chains_.emplace_back().sums = &program.steps[i];
      set_place(static_cast<int>(chains_.size()) - 1, i);
    }
  }
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (step.kind != StepKind::float_op || step.outputs.size() != 1 || step.outputs[0] < 0) continue;
    if (step.node.is("Add")) take_add(i);
    if (step.node.is("Relu")) take_relu(i);
  }
  for (FloatChain& chain : chains_)
    if (chain.sums != nullptr) finish(chain);
}

const FloatChain* FloatChains::at(std::size_t i) const {
  return chain_at_[i] < 0 ? nullptr : &chains_[static_cast<std::size_t>(chain_at_[i])];
}

/// Sums of images to floats.
bool FloatChains::starts(const Step& step) const {
  if (step.kind != StepKind::dequantize) return false;
  const Slot& in = slots_[static_cast<std::size_t>(step.inputs[0])];
  return in.storage == Storage::sums && in.shape.size() == 4;
}

/// What an Add of two values of one shape adds to `v`; -1: it is none.
std::int32_t FloatChains::other_operand(std::size_t i, std::int32_t v) const {
  const Step& step = program_.steps[i];
  if (step.kind != StepKind::float_op || !step.node.is("Add") || step.inputs.size() != 2) return -1;
  const std::int32_t a = step.inputs[0], b = step.inputs[1];
  if (a < 0 || b < 0 || a == b ||
      slots_[static_cast<std::size_t>(a)].shape != slots_[static_cast<std::size_t>(b)].shape)
    return -1;
  return a == v ? b : a;
}

/// Whether every reader of a chain's result is a chain, too: one that adds it to its sums, or quantizers that are its.
bool FloatChains::channels_last(std::int32_t v) const {
  const std::vector<std::size_t>& readers = value(v).readers;
  return value(v).chain >= 0 && !value(v).output && std::all_of(readers.begin(), readers.end(), [&](std::size_t r) {
           return program_.steps[r].kind == StepKind::quantize || sole_start(other_operand(r, v));
         });
}

/// The output of step `i`, which is the chain's, becomes its result.
void FloatChains::set_result(int chain, std::size_t i) {
  FloatChain& c = chains_[static_cast<std::size_t>(chain)];
  if (c.result >= 0) values_[static_cast<std::size_t>(c.result)].chain = -1;
  c.result = program_.steps[i].outputs[0];
  values_[static_cast<std::size_t>(c.result)].chain = chain;
  swallowed_[i] = true;
}

void FloatChains::set_place(int chain, std::size_t i) {
  FloatChain& c = chains_[static_cast<std::size_t>(chain)];
  if (c.result >= 0) chain_at_[c.place] = -1;
  c.place = i;
  chain_at_[i] = chain;
  set_result(chain, i);
}

void FloatChains::take_add(std::size_t i) {
  for (const std::int32_t v : program_.steps[i].inputs) {
    const std::int32_t other = other_operand(i, v);
    if (other < 0 || !sole_start(v)) continue;
    const int chain = value(v).chain;
    FloatChain& c = chains_[static_cast<std::size_t>(chain)];
    if (sole_start(other)) {
      FloatChain& second = chains_[static_cast<std::size_t>(value(other).chain)];
      c.other_sums = second.sums;
      chain_at_[second.place] = -1;
      second.sums = nullptr;
    } else if (channels_last(other)) {
      c.residual = other;
    } else {
      continue;
    }
    return set_place(chain, i);
  }
}

/// Others than the Relu may read what it reads only if that is one quantizer to bits.
void FloatChains::take_relu(std::size_t i) {
  const std::int32_t v = program_.steps[i].inputs.empty() ? -1 : program_.steps[i].inputs[0];
  if (v < 0 || value(v).chain < 0 || value(v).output || value(v).readers.size() > 2) return;
  const int chain = value(v).chain;
  FloatChain& c = chains_[static_cast<std::size_t>(chain)];
  if (c.relu) return;
  for (const std::size_t r : value(v).readers) {
    if (r == i) continue;
    const Step& step = program_.steps[r];
    if (step.kind != StepKind::quantize || slots_[static_cast<std::size_t>(step.outputs[0])].storage != Storage::bits)
      return;
    c.signs = &step;
    swallowed_[r] = true;
  }
  c.relu = true;
  set_result(chain, i);
}

void FloatChains::finish(FloatChain& chain) {
  bool read = value(chain.result).output;
  for (const std::size_t r : value(chain.result).readers) {
    if (program_.steps[r].kind == StepKind::quantize) {
      chain.quantizers.push_back(&program_.steps[r]);
      swallowed_[r] = true;
    } else {
      read = true;
    }
  }
  if (read) chain.keep = channels_last(chain.result) ? FloatChain::Keep::channels_last : FloatChain::Keep::planes;
}

}  // namespace nnq
