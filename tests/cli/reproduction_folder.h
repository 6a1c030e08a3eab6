// A folder in which `nnq reproduce` finds an experiment of its own: a small perceptron on made images, an epoch long.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cli/command.h"
#include "core/random.h"
#include "nnq/dataset.h"

namespace nnq::test {

inline constexpr const char* training_recipe = R"(name = "tiny"
data = "npy:images.npy,labels.npy"
validation = 20
[model]
zoo = "mlp"
parameters = { hidden = "8", size = 8, classes = 5 }
[[stage]]
kind = "train"
epochs = 1
batch = 20
)";
inline constexpr const char* quantization = R"([[stage]]
kind = "quantize"
[[stage.rule]]
layers = "*"
weights = { method = "uniform", bits = 8 }
activations = { method = "uniform", bits = 8 }
[[stage]]
kind = "calibrate"
)";

inline std::string claim(const std::string& recipe, const std::string& rest) {
  return "[[claim]]\nclaim = 'it learns'\npublished = '99 % (elsewhere)'\nsetting = 'made images'\nrecipe = 'recipes/" +
         recipe + ".toml'\n" + rest + "\n";
}

/// A folder as the source tree is: recipes, experiments, and data that the recipes name.
class ReproductionFolder : public testing::Test {
 protected:
  ReproductionFolder() {
    std::filesystem::create_directories(folder_.path() / "recipes/reproduce");
    nnq::Random random(3);
    Tensor images(DType::u8, {80, 1, 8, 8}), labels(DType::i64, {80});
    for (std::uint8_t& v : images.mutable_values<std::uint8_t>()) v = static_cast<std::uint8_t>(random.below(256));
    for (std::int64_t i = 0; i < 80; ++i) labels.mutable_as<std::int64_t>()[i] = i % 5;
    nnq::save_npy(images, folder_ / "images.npy");
    nnq::save_npy(labels, folder_ / "labels.npy");
    write("recipes/float.toml", training_recipe);
    write("recipes/w8a8.toml", std::string(training_recipe) + quantization);
  }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  void experiment(const std::string& paper, const std::string& claims) const {
    write("recipes/reproduce/" + paper + ".toml", "paper = '" + paper + "'\ntitle = 'A made paper'\n" + claims);
  }
  Ran run(const std::string& arguments) const {
    return nnq::test::nnq("reproduce " + arguments, "cd '" + folder_.path().string() + "' && ");
  }

  Folder folder_;
};

}  // namespace nnq::test
