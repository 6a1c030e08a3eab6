#include "train/torch_op.h"

#include <ATen/CPUGeneratorImpl.h>

#include <map>

namespace nnq::train::ops {
#define NNQ_ROW(stem) void register_##stem(const ::nnq::train::AddBuilder&);
#include "nnq_registry/train_ops.inc"
#undef NNQ_ROW
}  // namespace nnq::train::ops

namespace nnq::train {
namespace {

using Table = std::map<std::pair<std::string, std::string>, Builder, std::less<>>;

Table collect() {
  Table table;
  const AddBuilder add = [&](const char* op, Builder builder, const char* domain) {
    NNQ_CHECK(table.emplace(std::pair{std::string(domain), std::string(op)}, std::move(builder)).second,
              std::string("two torch forms of operator ") + op);
  };
#define NNQ_ROW(stem) ops::register_##stem(add);
#include "nnq_registry/train_ops.inc"
#undef NNQ_ROW
  return table;
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads neighbouring inputs over all 64 bits.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

const Builder* find_builder(std::string_view domain, std::string_view op) {
  static const Table table = collect();
  const auto it = table.find(std::pair{std::string(domain), std::string(op)});
  return it == table.end() ? nullptr : &it->second;
}

at::Generator generator(const Run& run, std::uint64_t node_index) {
  return at::detail::createCPUGenerator(mix(run.stream + mix(node_index)));
}

Integers::Integers(const Build& build, const char* name, std::size_t input) : input_(input) {
  if (name != nullptr && build.node.has(name)) {
    present_ = known_ = true;
    values_ = build.node.get_ints(name);
    if (values_.empty() && std::holds_alternative<std::int64_t>(build.node.attributes.at(name)))
      values_ = {build.node.get_int(name, 0)};
    return;
  }
  if (!build.has(input)) return;
  present_ = true;
  if (const Tensor* value = build.constant(input)) {
    known_ = true;
    values_ = value->to_int64();
  }
}

std::vector<std::int64_t> Integers::read(const Args& args) const {
  if (known_) return values_;
  const at::Tensor dense = args[input_].to(at::kLong).contiguous();
  const std::int64_t* first = dense.data_ptr<std::int64_t>();
  return {first, first + dense.numel()};
}

}  // namespace nnq::train
