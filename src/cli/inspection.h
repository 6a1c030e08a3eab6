// What a model is made of, layer by layer; computed without running it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nnq/graph.h"

namespace nnq {
struct Program;
}

namespace nnq::cli {

struct LayerRow {
  std::string name, op;
  bool ranked = false;
  SymbolicShape output_shape;      // a free leading dimension counts as 1; others stay free
  std::int64_t parameters = 0;     // weights and other float or coded constants
  std::int64_t macs = 0;           // -1: depends on free dimensions
  int weight_bits = 0;             // of the encoding as it was placed; 0: no weights; 32: float
  int planes = 0;                  // bit planes stored for them; lowering drops planes that no weight uses; 0: none
  int activation_bits = 32;        // of what the layer computes on (quantizers: of what they make); 32: float
  std::int64_t bytes = 0;          // of its constants as stored
  std::string encoding;            // of the weights: "float32", "binary", "uniform", "bit planes", "codebook"; or empty
  std::string note;                // what lowering has to say
  std::int64_t code_bytes = 0;     // of bytes: packed codes of weights
  std::int64_t entropy_bytes = 0;  // bytes, were the codes Huffman-coded
  std::vector<std::uint64_t> code_counts;  // how often each code occurs; empty without packed weights
};

struct Inspection {
  std::vector<LayerRow> layers;
  std::int64_t parameters = 0, macs = 0, bytes = 0;  // sums; bytes of the constants
  bool macs_complete = true;                         // false: some layer's depend on free dimensions
  /// The codes of all weights in one Huffman code, with its table and everything else as stored: what an entropy-coded
  /// file would need. 0 without packed weights.
  std::int64_t entropy_bytes = 0;
  double code_bits = 0;  // bits a weight of that code, on average
  /// "W4A4": bits of most weights, and of what those layers compute on; "float" without integer layers.
  std::string bits_label() const;
};

/// `shapes` fixes inputs; a free leading dimension of the others is taken as 1.
Inspection inspect_graph(const Graph& graph, const std::map<std::string, Shape>& shapes);
/// The same of a program. Shapes inside are as lowered; with `shapes` free dimensions are computed anew.
Inspection inspect_program(const Program& program, const std::map<std::string, Shape>& shapes);

/// "[1, 16, 32, ?]"
std::string shape_text(const LayerRow& row);

}  // namespace nnq::cli
