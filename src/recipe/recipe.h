// A recipe: what to train or compress, on what data, in which stages. Read from TOML, checked, written back in one
// canonical form. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "methods/search/mine_interactions.h"
#include "nnq/dataset.h"
#include "nnq/quantize.h"
#include "train/change_bits.h"
#include "train/trainer.h"

namespace nnq::recipe {

/// Every kind of stage, in the order of docs/recipes.md: its name here, and the word a recipe says for it.
#define NNQ_STAGE_KINDS(X)                          \
  X(train, "train")                                 \
  X(calibrate, "calibrate")                         \
  X(quantize, "quantize")                           \
  X(set_bits, "set_bits")                           \
  X(factorize, "factorize")                         \
  X(mine_interactions, "mine_interactions")         \
  X(equalize, "equalize")                           \
  X(correct_biases, "correct_biases")               \
  X(reestimate_batch_norm, "reestimate_batch_norm") \
  X(redistribute_points, "redistribute_points")     \
  X(evaluate, "evaluate")                           \
  X(export_model, "export")

#define NNQ_ROW(kind, word) kind,
enum class StageKind { NNQ_STAGE_KINDS(NNQ_ROW) };
#undef NNQ_ROW

/// "train", ..., "export": the word a recipe says for it.
const char* name_of(StageKind kind);
std::vector<StageKind> all_stage_kinds();

/// One [[stage]]. Only the fields of its kind mean something; the others keep their defaults.
struct Stage {
  StageKind kind = StageKind::train;
  train::TrainOptions train;    // train; seed and augmentation are those of the recipe
  double dropout = 0;           // train: on the non-recurrent connections of recurrent layers
  std::string teacher;          // train: "float", an ONNX file, or empty
  double if_drop_above = -1;    // train: skipped unless validation accuracy fell by more than these points; < 0: never
  PlacementOptions placement;   // quantize
  bool fold_batch_norm = true;  // quantize: fold BatchNormalization into the layers before placing quantizers
  train::BitsChange bits;       // set_bits
  methods::MiningOptions mining;  // mine_interactions
  std::int64_t images = 0;        // calibrate, correct_biases
  std::int64_t batches = 0;       // reestimate_batch_norm, redistribute_points; of train.batch images
  std::string split = "test";     // evaluate: test, validation, train
  std::string file;               // export: name in the run directory; empty: model.onnx and model.nnq
};

/// A stage of this kind with its defaults.
Stage default_stage(StageKind kind);

struct Recipe {
  std::string name;
  std::uint64_t seed = 1;
  std::string data;                               // data set spec (include/nnq/dataset.h)
  std::int64_t validation = 5000;                 // images held out of the training set; 0: none
  std::int64_t limit = 0;                         // training images (text: tokens) used; 0: all
  std::int64_t vocabulary = 0;                    // text: tokens kept, the others become <unk>; 0: all
  std::string zoo;                                // network of the zoo, or empty
  std::map<std::string, std::string> parameters;  // of the zoo network
  std::string file;                               // ONNX model, or empty; exactly one of zoo and file is set
  Preprocessing preprocessing;
  Augmentation augmentation;
  std::optional<double> min_value;  // required accuracy, percent
  std::optional<double> max_value;  // text: perplexity that must not be exceeded
  std::optional<double> max_drop;   // allowed loss against the float model: points of accuracy, percent of perplexity
  std::vector<Stage> stages;
};

/// Reads a recipe. `name` (a file's name) goes into messages; its stem names a recipe that has no name. `overrides` are
/// "--set" texts like "train.epochs=3" (docs/recipes.md). Throws nnq::Error naming line (or override), key, nearest
/// valid key or allowed range.
Recipe parse_recipe(std::string_view text, const std::string& name, const std::vector<std::string>& overrides = {});

/// parse_recipe() of a file; model.file is looked up beside the recipe and then in the working directory.
Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

/// The recipe with every key written out, in the order of docs/recipes.md. Reading it gives the same recipe.
std::string to_toml(const Recipe& recipe);

/// FNV-1a (64 bits, 16 hex digits) of to_toml().
std::string recipe_hash(const Recipe& recipe);

/// One key of the language, for docs/recipes.md.
struct KeyDescription {
  std::string section;  // "recipe", "model", "input", "require", "train", ..., "rule", "quantizer"
  std::string name, type, default_value, range, description;
};
std::vector<KeyDescription> describe_keys();

}  // namespace nnq::recipe
