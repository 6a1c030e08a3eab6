#include "recipe/keys.h"

#include <fmt/format.h>

namespace nnq::recipe {
namespace {

constexpr Range any{};
constexpr Range positive{.low = 0, .above = true};
constexpr Range share{.low = 0, .high = 1, .below = true};
constexpr Range zero_to_one{.low = 0, .high = 1};
constexpr Range not_negative{.low = 0};
constexpr Range percent{.low = 0, .high = 100};
constexpr Range counts(double low, double high) { return {.low = low, .high = high}; }

/// The field of a T as a Key wants it.
#define NNQ_FIELD(T, member) \
  +[](T & object) -> auto& { \
    return object.member;    \
  }

std::vector<Key<Stage>> train_keys() {
  return {
      {"epochs", NNQ_FIELD(Stage, train.epochs), counts(1, 100000), {}, "passes over the training set"},
      {"if_drop_above",
       NNQ_FIELD(Stage, if_drop_above),
       counts(-1, 100),
       {},
       "fine-tune only when accuracy on the held-out images fell by more than these points; -1: always"},
      {"batch", NNQ_FIELD(Stage, train.batch), counts(1, 65536), {}, "images a step; text: streams read side by side"},
      {"unroll",
       NNQ_FIELD(Stage, train.unroll),
       counts(1, 65536),
       {},
       "text: tokens a stream and step; gradients go back that far"},
      {"dropout",
       NNQ_FIELD(Stage, dropout),
       share,
       {},
       "share of values set to 0 on the way into recurrent layers and out of them, never from step to step"},
      {"loss", NNQ_FIELD(Stage, train.loss), any, {"cross_entropy", "squared_hinge"}, "what training minimises"},
      {"label_smoothing",
       NNQ_FIELD(Stage, train.label_smoothing),
       share,
       {},
       "share of the target spread over all classes"},
      {"teacher",
       NNQ_FIELD(Stage, teacher),
       any,
       {},
       "distillation: `float` (this recipe's network before it was quantized) or an ONNX model, looked up like "
       "model.file; \"\": none"},
      {"distill_weight",
       NNQ_FIELD(Stage, train.distillation.weight),
       zero_to_one,
       {},
       "teacher: share a of its term in a T^2 KL(teacher, student) + (1 - a) loss"},
      {"temperature",
       NNQ_FIELD(Stage, train.distillation.temperature),
       positive,
       {},
       "teacher: T, by which both networks' logits are divided in its term"},
      {"match_layers",
       NNQ_FIELD(Stage, train.distillation.match_layers),
       any,
       {},
       "teacher: glob of layers of both networks whose values are held to the teacher's; \"\": none"},
      {"match_weight",
       NNQ_FIELD(Stage, train.distillation.match_weight),
       not_negative,
       {},
       "match_layers: factor m of its term m mean(sum (s - t)^2 / sum t^2), added to the loss"},
      {"clip_gradient_norm",
       NNQ_FIELD(Stage, train.clip_gradient_norm),
       not_negative,
       {},
       "largest norm of all gradients together; 0: no clipping"},
      {"ema",
       NNQ_FIELD(Stage, train.ema),
       share,
       {},
       "share of the old average of the weights kept a step; 0: no averaging"},
      {"early_stop",
       NNQ_FIELD(Stage, train.early_stop),
       counts(0, 100000),
       {},
       "epochs without improvement on validation after which training ends; 0: never"},
      {"min_learning_rate",
       NNQ_FIELD(Stage, train.min_learning_rate),
       not_negative,
       {},
       "training ends when the schedule falls below it"},
      {"keep_best",
       NNQ_FIELD(Stage, train.keep_best),
       any,
       {},
       "end with the epoch that was best on validation, else with the last"},
      {"optimizer",
       NNQ_FIELD(Stage, train.optimizer.kind),
       any,
       {"sgd", "adam", "adamw", "adamax", "shift_adamax"},
       "update rule"},
      {"learning_rate", NNQ_FIELD(Stage, train.optimizer.learning_rate), positive, {}, "learning rate after warm-up"},
      {"momentum", NNQ_FIELD(Stage, train.optimizer.momentum), share, {}, "sgd: share of the old step kept"},
      {"nesterov", NNQ_FIELD(Stage, train.optimizer.nesterov), any, {}, "sgd: look ahead along the momentum"},
      {"weight_decay",
       NNQ_FIELD(Stage, train.optimizer.weight_decay),
       not_negative,
       {},
       "pull of the weights to 0; not on biases, normalisation and quantizer state"},
      {"beta1", NNQ_FIELD(Stage, train.optimizer.beta1), share, {}, "Adam family: share of the old first moment kept"},
      {"beta2", NNQ_FIELD(Stage, train.optimizer.beta2), share, {}, "Adam family: share of the old second moment kept"},
      {"epsilon", NNQ_FIELD(Stage, train.optimizer.epsilon), positive, {}, "Adam family: added to the denominator"},
      {"state_learning_rate",
       NNQ_FIELD(Stage, train.optimizer.state_learning_rate),
       not_negative,
       {},
       "factor on the learning rate of quantizer state (steps, thresholds)"},
      {"schedule",
       NNQ_FIELD(Stage, train.schedule.kind),
       any,
       {"constant", "step", "multistep", "cosine", "exponential", "plateau"},
       "how the learning rate moves"},
      {"warmup_epochs",
       NNQ_FIELD(Stage, train.schedule.warmup_epochs),
       not_negative,
       {},
       "epochs of linear rise from 0 to learning_rate"},
      {"gamma",
       NNQ_FIELD(Stage, train.schedule.gamma),
       {.low = 0, .high = 1, .above = true},
       {},
       "step, multistep, plateau: factor at each step down"},
      {"every", NNQ_FIELD(Stage, train.schedule.every), counts(1, 100000), {}, "step: epochs between two steps down"},
      {"milestones",
       NNQ_FIELD(Stage, train.schedule.milestones),
       counts(1, 100000),
       {},
       "multistep: epochs after which the rate steps down, ascending"},
      {"final_factor",
       NNQ_FIELD(Stage, train.schedule.final_factor),
       zero_to_one,
       {},
       "cosine, exponential: last learning rate / first"},
      {"patience",
       NNQ_FIELD(Stage, train.schedule.patience),
       counts(1, 100000),
       {},
       "plateau: epochs without improvement before a step down"},
      {"adversarial",
       NNQ_FIELD(Stage, train.adversarial),
       any,
       {"none", "fgsm", "pgd"},
       "attack on the current network that perturbs part of each batch (docs/papers/attacks.md)"},
      {"attack_epsilon",
       NNQ_FIELD(Stage, train.attack_epsilon),
       {.low = 0, .high = 1, .above = true},
       {},
       "adversarial: largest change of a pixel, pixels being 0..1"},
      {"attack_steps", NNQ_FIELD(Stage, train.attack_steps), counts(1, 1000), {}, "adversarial pgd: gradient steps"},
      {"attack_step_size",
       NNQ_FIELD(Stage, train.attack_step_size),
       zero_to_one,
       {},
       "adversarial pgd: length of a step; 0: 4/3 attack_epsilon / attack_steps"},
      {"adversarial_share",
       NNQ_FIELD(Stage, train.adversarial_share),
       {.low = 0, .high = 1, .above = true},
       {},
       "adversarial: share of each batch that is perturbed"},
  };
}

std::vector<Key<Stage>> set_bits_keys() {
  return {
      {"weights", NNQ_FIELD(Stage, bits.weights), counts(0, 8), {}, "new bits of the weights; 0: as they are"},
      {"activations",
       NNQ_FIELD(Stage, bits.activations),
       counts(0, 8),
       {},
       "new bits of the layers' inputs; 0: as they are"},
      {"layers", NNQ_FIELD(Stage, bits.layers), any, {}, "`*`, `first`, `last`, or a pattern of layer names"},
      {"method", NNQ_FIELD(Stage, bits.method), any, {}, "only quantizers of this method; \"\": of every method"},
  };
}

std::vector<Key<Stage>> mining_keys() {
  return {
      {"steps", NNQ_FIELD(Stage, mining.steps), counts(0, 1e7), {}, "proposals of the policy"},
      {"images", NNQ_FIELD(Stage, mining.batch), counts(1, 1e7), {}, "training images that judge each proposal"},
      {"unit_share",
       NNQ_FIELD(Stage, mining.unit_share),
       {.low = 0, .high = 1, .above = true},
       {},
       "U0: unit of the corrections in shares of a layer's largest sum"},
      {"density", NNQ_FIELD(Stage, mining.density), zero_to_one, {}, "largest share of a block's pairs that are edges"},
      {"k0", NNQ_FIELD(Stage, mining.k0), counts(1, 100), {}, "K0: influences are +-3 to +-(2 K0 + 1)"},
      {"least_change",
       NNQ_FIELD(Stage, mining.least_change),
       not_negative,
       {},
       "h: smaller changes of the loss earn no reward"},
      {"learning_rate", NNQ_FIELD(Stage, mining.learning_rate), positive, {}, "of the policy (Adam)"},
  };
}

std::vector<Key<Stage>> batches_keys() {
  return {
      {"batches", NNQ_FIELD(Stage, batches), counts(1, 1e6), {}, "batches of training images looked at (at most all)"},
      {"batch", NNQ_FIELD(Stage, train.batch), counts(1, 65536), {}, "images a batch"},
  };
}

std::vector<Key<Stage>> make_stage_keys(StageKind kind) {
  switch (kind) {
    case StageKind::train:
      return train_keys();
    case StageKind::calibrate:
    case StageKind::correct_biases:
      return {{"images",
               NNQ_FIELD(Stage, images),
               counts(1, 1e7),
               {},
               "training images looked at (all of them when there are fewer)"}};
    case StageKind::quantize:
      return {{"quantize_adds",
               NNQ_FIELD(Stage, placement.quantize_adds),
               any,
               {},
               "one shared encoding on both inputs of residual adds: integer residual paths"},
              {"fold_batch_norm",
               NNQ_FIELD(Stage, fold_batch_norm),
               any,
               {},
               "fold BatchNormalization into the layers first",
               "true, but false when a train stage follows"}};
    case StageKind::set_bits:
      return set_bits_keys();
    case StageKind::mine_interactions:
      return mining_keys();
    case StageKind::reestimate_batch_norm:
    case StageKind::redistribute_points:
      return batches_keys();
    case StageKind::evaluate:
      return {{"split", NNQ_FIELD(Stage, split), any, {"test", "validation", "train"}, "the images to measure on"}};
    case StageKind::export_model:
      return {{"file",
               NNQ_FIELD(Stage, file),
               any,
               {},
               "file name in the run directory, without folder; \"\": model.onnx and model.nnq"}};
    case StageKind::factorize:
    case StageKind::equalize:
      break;
  }
  return {};
}

}  // namespace

std::string Range::text() const {
  const bool has_low = low > -std::numeric_limits<double>::infinity();
  const bool has_high = high < std::numeric_limits<double>::infinity();
  if (!has_low && !has_high) return "";
  if (has_low && has_high && !above && !below) return fmt::format("{} to {}", low, high);
  std::string out = has_low ? fmt::format("{} {}", above ? "above" : "at least", low) : "";
  if (has_high) out += fmt::format("{}{} {}", has_low ? ", " : "", below ? "below" : "at most", high);
  return out;
}

const std::vector<Key<Recipe>>& recipe_keys() {
  static const std::vector<Key<Recipe>> keys = {
      {"name",
       NNQ_FIELD(Recipe, name),
       any,
       {},
       "names run directories: letters, digits, `_`, `-`, `.`",
       "the recipe file's name without .toml"},
      {"seed",
       NNQ_FIELD(Recipe, seed),
       counts(0, 9007199254740992.0),
       {},
       "of weights, shuffling, augmentation and stochastic methods: same recipe and seed, same bytes"},
      {"data",
       NNQ_FIELD(Recipe, data),
       any,
       {},
       "data set: a name of `nnq data`, `images:PATH`, `npy:IMAGES.npy,LABELS.npy`, `text:FILE` or `chars:FILE`",
       "required"},
      {"validation",
       NNQ_FIELD(Recipe, validation),
       counts(0, 1e7),
       {},
       "images held out of the training set; 0: none. Text has a validation split of its own: above 0 all of it is "
       "used"},
      {"limit", NNQ_FIELD(Recipe, limit), counts(0, 1e9), {}, "training images (text: tokens) used; 0: all"},
      {"vocabulary",
       NNQ_FIELD(Recipe, vocabulary),
       counts(0, 1e7),
       {},
       "text: tokens of the vocabulary, the most frequent words and `<unk>`; 0: all of the training split"},
  };
  return keys;
}

const std::vector<Key<Recipe>>& model_keys() {
  static const std::vector<Key<Recipe>> keys = {
      {"zoo",
       NNQ_FIELD(Recipe, zoo),
       any,
       {},
       "network of the zoo; its parameters stand in [model.parameters]",
       "this or file is required"},
      {"file",
       NNQ_FIELD(Recipe, file),
       any,
       {},
       "ONNX model, looked up beside the recipe and then in the working directory",
       "this or zoo is required"},
  };
  return keys;
}

const std::vector<Key<Recipe>>& input_keys() {
  static const std::vector<Key<Recipe>> keys = {
      {"mean",
       NNQ_FIELD(Recipe, preprocessing.mean),
       any,
       {},
       "subtracted from pixels in 0..1: one value, or one a channel"},
      {"std", NNQ_FIELD(Recipe, preprocessing.std), positive, {}, "divides what is left: one value, or one a channel"},
      {"shift",
       NNQ_FIELD(Recipe, augmentation.shift),
       counts(0, 64),
       {},
       "augmentation: random shift by up to this many pixels each way"},
      {"flip", NNQ_FIELD(Recipe, augmentation.flip), any, {}, "augmentation: mirror left-right with probability 1/2"},
  };
  return keys;
}

const std::vector<Key<Recipe>>& require_keys() {
  static const std::vector<Key<Recipe>> keys = {
      {"min_value",
       NNQ_FIELD(Recipe, min_value),
       percent,
       {},
       "accuracy the result must reach, percent",
       "no requirement"},
      {"max_value",
       NNQ_FIELD(Recipe, max_value),
       positive,
       {},
       "text: perplexity the result must not exceed",
       "no requirement"},
      {"max_drop",
       NNQ_FIELD(Recipe, max_drop),
       percent,
       {},
       "points of accuracy the result may lie below the float model; text: percent of perplexity above it",
       "no requirement"},
  };
  return keys;
}

const std::vector<Key<Stage>>& stage_keys(StageKind kind) {
  static const std::vector<std::vector<Key<Stage>>> tables = [] {
    std::vector<std::vector<Key<Stage>>> made;
    for (const StageKind each : all_stage_kinds()) made.push_back(make_stage_keys(each));
    return made;
  }();
  return tables[static_cast<std::size_t>(kind)];
}

const std::vector<Key<LayerRule>>& rule_keys() {
  static const std::vector<Key<LayerRule>> keys = {
      {"layers",
       NNQ_FIELD(LayerRule, glob),
       any,
       {},
       "`*`, `first`, `last`, or a pattern of layer names; of the rules that match a layer the last wins",
       "required"},
  };
  return keys;
}

const std::vector<Key<QuantizerSpec>>& quantizer_keys() {
  static const std::vector<Key<QuantizerSpec>> keys = {
      {"method", NNQ_FIELD(QuantizerSpec, method), any, {}, "a quantizer of `nnq methods`", "required"},
      {"bits", NNQ_FIELD(QuantizerSpec, bits), counts(1, 8), {}, "width of a code"},
  };
  return keys;
}

const std::vector<RoleKey>& role_keys() {
  static const std::vector<RoleKey> keys = {
      {"weights", &LayerRule::weights, "quantizer of the layer's weights"},
      {"activations", &LayerRule::activations,
       "quantizer of the layer's input, and of a recurrent layer's state: alternating, or uniform with 8 bits"},
      {"gradients", &LayerRule::gradients, "quantizer of the gradient that comes back into the layer"},
  };
  return keys;
}

}  // namespace nnq::recipe
