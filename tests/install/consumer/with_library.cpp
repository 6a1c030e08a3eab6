// A tool that reads and writes networks: needs nnq::nnq.
#include <nnq/graph.h>
#include <nnq/version.h>

#include <cstdio>

int main() {
  nnq::Graph graph;
  graph.inputs.push_back({"x", nnq::ValueType::of(nnq::DType::f32, {1, 4})});
  graph.outputs.push_back(graph.add("Relu", {"x"}));
  nnq::verify(graph);
  std::printf("nnq %s\n%s", nnq::version(), nnq::to_text(graph).c_str());
}
