// The table of attacks.
#include "train/attack.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/text.h"
#include "nnq/error.h"

namespace nnq::methods {
#define NNQ_ROW(stem) ::nnq::train::AttackMethod register_attack_##stem();
#include "nnq_registry/attacks.inc"
#undef NNQ_ROW
}  // namespace nnq::methods

namespace nnq::train {
namespace {

std::vector<AttackMethod> collect() {
  std::vector<AttackMethod> attacks;
#define NNQ_ROW(stem) attacks.push_back(::nnq::methods::register_attack_##stem());
#include "nnq_registry/attacks.inc"
#undef NNQ_ROW
  std::sort(attacks.begin(), attacks.end(),
            [](const AttackMethod& a, const AttackMethod& b) { return a.info.id < b.info.id; });
  return attacks;
}

}  // namespace

void Attack::prepare(AttackTarget&, const at::Tensor&) {}

const std::vector<AttackMethod>& all_attacks() {
  static const std::vector<AttackMethod> attacks = collect();
  return attacks;
}

const AttackMethod& find_attack(std::string_view id) {
  std::vector<std::string> known;
  for (const AttackMethod& attack : all_attacks()) {
    if (attack.info.id == id) return attack;
    known.push_back(attack.info.id);
  }
  throw Error("there is no attack '" + std::string(id.substr(0, 64)) + "'", {}, suggestion(id, known));
}

}  // namespace nnq::train
