// The table of operators, built once from the families the build found in this folder.
#include <algorithm>
#include <map>
#include <utility>

#include "nnq/op.h"

namespace nnq {
namespace ops {
#define NNQ_ROW(family) void register_##family(const std::function<void(::nnq::Op)>& add);
#include "nnq_registry/ops.inc"
#undef NNQ_ROW
}  // namespace ops

namespace {

using Key = std::pair<std::string_view, std::string_view>;

struct Table {
  std::vector<Op> ops;  // sorted by domain then name
  Table() {
    const std::function<void(Op)> add = [this](Op op) { ops.push_back(std::move(op)); };
#define NNQ_ROW(family) ops::register_##family(add);
#include "nnq_registry/ops.inc"
#undef NNQ_ROW
    std::sort(ops.begin(), ops.end(),
              [](const Op& a, const Op& b) { return Key(a.domain, a.name) < Key(b.domain, b.name); });
  }
};

/// Thread-safe: the table is complete before the first look-up returns and never changes after.
const Table& table() {
  static const Table instance;
  return instance;
}

}  // namespace

const Op* find_op(std::string_view domain, std::string_view name) {
  if (domain == "ai.onnx") domain = {};
  const auto& all = table().ops;
  const auto it = std::lower_bound(all.begin(), all.end(), Key(domain, name),
                                   [](const Op& op, const Key& key) { return Key(op.domain, op.name) < key; });
  return it != all.end() && it->domain == domain && it->name == name ? &*it : nullptr;
}

std::vector<const Op*> all_ops() {
  std::vector<const Op*> out;
  for (const Op& op : table().ops) out.push_back(&op);
  return out;
}

}  // namespace nnq
