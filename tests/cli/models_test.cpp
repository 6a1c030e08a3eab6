// Verbs that take a model apart, move it and run it: inspect, export, run, benchmark, zoo.
#include <gtest/gtest.h>

#include <set>

#include "cli/model_files.h"
#include "kernels/direct/direct.h"

namespace {

using nnq::test::Folder;
using nnq::test::has_table;
using nnq::test::ModelFiles;
using nnq::test::nnq;
using nnq::test::Ran;

/// The second layer of this operator: the first computes on the 8 bits of an image.
nlohmann::json second(const nlohmann::json& document, const std::string& op) {
  int seen = 0;
  for (const auto& row : document["layers"]) {
    if (row["op"] == op && ++seen == 2) return row;
  }
  return {};
}

TEST(CliZoo, ListsExplainsAndWrites) {
  const Ran list = nnq("zoo");
  ASSERT_EQ(list.code, 0) << list.err;
  EXPECT_TRUE(has_table(list.out, 10)) << list.out;
  const auto all = nnq("zoo --json").document();
  ASSERT_GE(all["networks"].size(), 10u);
  for (const char* key : {"name", "description", "parameters"}) EXPECT_TRUE(all["networks"][0].contains(key)) << key;
  const Ran one = nnq("zoo resnet20");
  EXPECT_TRUE(has_table(one.out, 3)) << one.out;
  EXPECT_NE(one.out.find("width"), std::string::npos);

  const Folder folder;
  const auto written = nnq("zoo mlp --set hidden=32 --set size=8 --json -o " + (folder / "m.onnx")).document();
  EXPECT_EQ(written["model"], folder / "m.onnx");
  EXPECT_GT(written["parameters"].get<std::int64_t>(), 0);
  EXPECT_EQ(written["bytes"].get<std::size_t>(), std::filesystem::file_size(folder / "m.onnx"));
}

TEST(CliZoo, SeedsAreReproducedAndWrongParametersNamed) {
  const Folder folder;
  ASSERT_EQ(nnq("zoo lenet5 --seed 4 -o " + (folder / "a.onnx")).code, 0);
  ASSERT_EQ(nnq("zoo lenet5 --seed 4 -o " + (folder / "b.onnx")).code, 0);
  ASSERT_EQ(nnq("zoo lenet5 --seed 5 -o " + (folder / "c.onnx")).code, 0);
  EXPECT_EQ(nnq::test::slurp(folder / "a.onnx"), nnq::test::slurp(folder / "b.onnx"));
  EXPECT_NE(nnq::test::slurp(folder / "a.onnx"), nnq::test::slurp(folder / "c.onnx"));
  const Ran wrong = nnq("zoo resnet20 --set widht=32 -o " + (folder / "d.onnx"));
  EXPECT_EQ(wrong.code, 2);
  EXPECT_NE(wrong.err.find("width"), std::string::npos) << wrong.err;
  EXPECT_EQ(nnq("zoo resnet20 --set width -o " + (folder / "d.onnx")).code, 2);
  EXPECT_EQ(nnq("zoo -o " + (folder / "d.onnx")).code, 2);
}

TEST(CliInspect, FloatModel) {
  const ModelFiles files;
  const auto document = nnq("inspect " + files.real() + " --json").document();
  const auto conv = document["layers"][0];
  EXPECT_EQ(conv["op"], "Conv");
  EXPECT_EQ(conv["output_shape"], (std::vector<int>{1, 8, 8, 8}));
  EXPECT_EQ(conv["parameters"], 72);
  EXPECT_EQ(conv["macs"], 72 * 64);
  EXPECT_EQ(conv["weight_bits"], 32);
  EXPECT_EQ(conv["activation_bits"], 32);
  EXPECT_EQ(conv["bytes"], 288);
  EXPECT_EQ(conv["encoding"], "float32");
  EXPECT_EQ(document["bits"], "float");
  EXPECT_EQ(document["macs"], 72 * 64 + 1152 * 64 + 256 * 5);
  EXPECT_EQ(document["parameters"], 72 + 16 + 1152 + 32 + 256 * 5 + 5) << "running statistics do not train";
  EXPECT_EQ(document["bytes"].get<std::size_t>(), std::filesystem::file_size(files.real()));
  EXPECT_TRUE(has_table(nnq("inspect " + files.real()).out, 9));
}

TEST(CliInspect, FrozenGraphAndPackedModelSayTheSameOfALayer) {
  const ModelFiles files;
  ASSERT_EQ(files.packed.code, 0) << files.packed.err;
  const auto graph = nnq("inspect " + files.frozen() + " --json").document();
  const auto packed = nnq("inspect " + files.nnq_file() + " --json").document();
  EXPECT_EQ(graph["bits"], "W4A4");
  EXPECT_EQ(packed["bits"], "W4A4");
  EXPECT_EQ(graph["macs"], packed["macs"]);
  const auto conv = second(graph, "Conv"), step = second(packed, "convolution");
  for (const char* key : {"output_shape", "parameters", "macs", "weight_bits", "planes", "activation_bits", "encoding"})
    EXPECT_EQ(conv[key], step[key]) << key;
  EXPECT_EQ(conv["weight_bits"], 4);
  EXPECT_EQ(conv["activation_bits"], 4);
  EXPECT_EQ(conv["encoding"], "uniform");
  EXPECT_GE(step["bytes"].get<std::int64_t>(), 576) << "1152 weights of 4 bits";
  const Ran table = nnq("inspect " + files.nnq_file());
  EXPECT_TRUE(has_table(table.out, 4)) << table.out;
  EXPECT_NE(table.out.find("nnq.input.mean"), std::string::npos);
}

TEST(CliInspect, CodesAreAlsoMeasuredEntropyCoded) {
  const ModelFiles files;
  ASSERT_EQ(files.packed.code, 0) << files.packed.err;
  EXPECT_TRUE(nnq("inspect " + files.real() + " --json").document()["entropy_bytes"].is_null());
  EXPECT_EQ(nnq("inspect " + files.real()).out.find("entropy-coded"), std::string::npos);
  for (const std::string& file : {files.frozen(), files.nnq_file()}) {
    const auto document = nnq("inspect " + file + " --json").document();
    const double bits = document["code_bits"];
    EXPECT_GE(bits, 1) << file;
    EXPECT_LE(bits, 9) << file;
    std::int64_t bytes = 0, entropy = 0;
    for (const auto& row : document["layers"]) {
      const std::int64_t own = row["bytes"];
      bytes += own;
      entropy += row["entropy_bytes"].is_null() ? own : row["entropy_bytes"].get<std::int64_t>();
      EXPECT_EQ(row["entropy_bytes"].is_null(), row["weight_bits"] == 0 || row["weight_bits"] == 32);
    }
    const std::int64_t total = document["entropy_bytes"];
    EXPECT_GT(total, entropy - 16) << "the table comes on top";
    EXPECT_LE(total, entropy + 257);
    EXPECT_LT(total, bytes + 257);
    EXPECT_NE(nnq("inspect " + file).out.find("one Huffman code for all weights"), std::string::npos);
  }
}

TEST(CliInspect, FreeHeightAndWidthAreShownUntilGiven) {
  const Folder folder;
  nnq::Graph graph;
  graph.inputs = {{"x", {nnq::DType::f32, true, {nnq::Dim("N"), 3, nnq::Dim("H"), nnq::Dim("W")}}}};
  const std::string w = graph.add_initializer("w", nnq::Tensor(nnq::DType::f32, {4, 3, 3, 3}));
  graph.outputs = {graph.add("Conv", {"x", w}, {}, "conv")};
  nnq::export_onnx(graph, folder / "free.onnx");
  ASSERT_EQ(nnq("export " + (folder / "free.onnx") + " --to nnq -o " + (folder / "free.nnq")).code, 0);
  for (const char* name : {"free.onnx", "free.nnq"}) {
    const auto open = nnq("inspect " + (folder / name) + " --json").document();
    EXPECT_EQ(open["layers"][0]["output_shape"], nlohmann::json::parse("[1, 4, null, null]")) << name;
    EXPECT_TRUE(open["layers"][0]["macs"].is_null()) << name;
    EXPECT_EQ(open["macs_complete"], false);
    const auto given = nnq("inspect " + (folder / name) + " --shape x=2,3,6,5 --json").document();
    EXPECT_EQ(given["layers"][0]["output_shape"], (std::vector<int>{2, 4, 4, 3})) << name;
    EXPECT_EQ(given["macs"], 2 * 4 * 4 * 3 * 27) << name;
  }
  EXPECT_EQ(nnq("benchmark " + (folder / "free.nnq")).code, 2) << "its shape must be given";
  EXPECT_EQ(nnq("benchmark --repeat 2 --shape 1,3,8,8 " + (folder / "free.nnq")).code, 0);
  for (const char* shape :
       {"y=1,3,8,8", "x=1,4,8,8", "x=1,3,8", "x=1,3,0,8", "x=1,3,a,8", "x=9999999999,3,9999999999,8", "x="})
    EXPECT_EQ(nnq("inspect " + (folder / "free.nnq") + " --shape " + shape).code, 2) << shape;
}

TEST(CliExport, SaysItsTargetsAndKeepsToThem) {
  const ModelFiles files;
  EXPECT_NE(files.packed.out.find("bytes"), std::string::npos);
  const Ran verilog = nnq("export " + files.frozen() + " --to verilog -o " + (files.folder / "x.v"));
  EXPECT_EQ(verilog.code, 2);
  EXPECT_NE(verilog.err.find("nnq, onnx"), std::string::npos) << verilog.err;
  EXPECT_EQ(nnq("export " + files.nnq_file() + " --to onnx -o " + (files.folder / "x.onnx")).code, 2);
  const auto onnx = nnq("export " + files.frozen() + " --to onnx --json -o " + (files.folder / "x.onnx")).document();
  EXPECT_EQ(onnx["to"], "onnx");
  EXPECT_EQ(onnx["bytes"].get<std::size_t>(), std::filesystem::file_size(files.folder / "x.onnx"));
  EXPECT_EQ(nnq("export " + files.frozen() + " --to nnq -o /dev/null/x.nnq").code, 2);
}

TEST(CliRun, GraphAndPackedModelGiveTheSameOutput) {
  const ModelFiles files;
  nnq::Tensor x(nnq::DType::f32, {3, 1, 8, 8});
  nnq::Random random(1);
  for (float& v : x.mutable_values<float>()) v = static_cast<float>(random.normal());
  nnq::save_npy(x, files.folder / "x.npy");
  std::vector<nnq::Tensor> outputs;
  for (const std::string& model : {files.frozen(), files.nnq_file()}) {
    const std::string out = files.folder / ("out" + std::to_string(outputs.size()));
    const Ran ran = nnq("run " + model + " --input image=" + (files.folder / "x.npy") + " --json --output " + out);
    ASSERT_EQ(ran.code, 0) << ran.err;
    const auto first = ran.document()["outputs"][0];
    EXPECT_EQ(first["name"], "scores");
    EXPECT_EQ(first["shape"], (std::vector<int>{3, 5}));
    outputs.push_back(nnq::load_npy(first["file"].get<std::string>()));
  }
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(outputs[0], nnq::interpret(nnq::import_onnx(files.frozen()), {{"image", x}})[0]);
  EXPECT_TRUE(has_table(nnq("run " + files.nnq_file() + " --random --output " + (files.folder / "r")).out, 1));
}

TEST(CliRun, WrongInputsAreNamed) {
  const ModelFiles files;
  nnq::save_npy(nnq::Tensor(nnq::DType::f32, {1, 1, 8, 8}), files.folder / "x.npy");
  nnq::save_npy(nnq::Tensor(nnq::DType::f32, {1, 1, 9, 8}), files.folder / "shape.npy");
  nnq::save_npy(nnq::Tensor(nnq::DType::f64, {1, 1, 8, 8}), files.folder / "type.npy");
  const std::string x = files.folder / "x.npy", to = " --output " + (files.folder / "o");
  for (const std::string& arguments :
       {std::string(), " --input imgae=" + x, " --input " + x + " --input " + x, " --random --input " + x,
        " --input image=" + x + " --input image=" + x, " --input " + (files.folder / "shape.npy"),
        " --input " + (files.folder / "type.npy"), " --input " + files.real(), std::string(" --input /no/such.npy")}) {
    const Ran ran = nnq("run " + files.nnq_file() + arguments + to);
    EXPECT_EQ(ran.code, 2) << arguments << "\n" << ran.err;
    EXPECT_EQ(nnq::test::lines_of(ran.err).size(), 1u) << ran.err;
  }
  EXPECT_NE(nnq("run " + files.nnq_file() + " --input imgae=" + x + to).err.find("'image'"), std::string::npos);
  const auto error = nnq("run " + files.nnq_file() + " --input /no/such.npy --json").document()["error"];
  EXPECT_EQ(error["where"], "/no/such.npy");
  EXPECT_TRUE(error["message"].get<std::string>().starts_with("cannot be opened")) << error;
}

TEST(CliBenchmark, TimesStepsAndKernels) {
  const ModelFiles files;
  const std::string line = "benchmark " + files.nnq_file() + " --repeat 5";
  const auto document = nnq(line + " --batch 2 --threads 2 --json").document();
  EXPECT_EQ(document["batch"], 2);
  EXPECT_EQ(document["threads"], 2);
  EXPECT_GT(document["peak_bytes"].get<std::int64_t>(), 0);
  EXPECT_GT(document["median_ms"].get<double>(), 0);
  ASSERT_FALSE(document["steps"].empty());
  for (const char* key :
       {"name", "kernel", "median_us", "gops", "refused", "bytes", "bound", "roofline_percent", "float_us"})
    EXPECT_TRUE(document["steps"][0].contains(key)) << key;
  int layers = 0;
  for (const auto& step : document["steps"]) layers += step["float_us"].is_number() ? 1 : 0;
  EXPECT_GT(layers, 0) << "layers are timed in float, too";
  EXPECT_FALSE(document["ceilings"].empty());
  const Ran table = nnq(line + " --verbose", "NNQ_ISA=portable");
  EXPECT_TRUE(has_table(table.out, 4)) << table.out;
  EXPECT_NE(table.out.find("portable"), std::string::npos);

  if (NNQ_SANITIZED) return;  // products of 1024 x 1024 x 1024 take minutes there, and their times mean nothing
  const auto kernels = nnq("benchmark kernels --json", "NNQ_ISA=portable").document();
  ASSERT_FALSE(kernels["kernels"].empty());
  EXPECT_NE(kernels.dump().find("planes_popcount_portable"), std::string::npos);
  for (const auto& row : kernels["kernels"]) {
    EXPECT_EQ(row["isa"], "portable");
    EXPECT_GT(row["gops"].get<double>(), 0);
  }
  // A lookup kernel is called by its name and by the instruction set that it needs, on any machine.
  std::set<std::string> lookups;
  const auto all = nnq("benchmark kernels --json").document();
  for (const auto& row : all["kernels"]) {
    const auto name = row["kernel"].get<std::string>();
    if (name.find("lookup") == std::string::npos && name.find("triples") == std::string::npos) continue;
    lookups.insert(name);
    EXPECT_NE(name.find("_" + row["isa"].get<std::string>().substr(0, 4)), std::string::npos) << row.dump();
  }
  std::set<std::string> expected;
  for (const nnq::LookupKernel& kernel : nnq::lookup_kernels(nnq::hardware_isa())) {
    const bool triples = kernel.form == nnq::LookupForm::triples, pairs = kernel.most_lookups == 2;
    if (!triples) expected.insert(std::string("w1a2 ") + kernel.name);
    if (pairs) expected.insert(std::string("w1a1 ") + kernel.name);
    if (pairs || triples) expected.insert(std::string("w2a2 ") + kernel.name);
  }
  EXPECT_EQ(lookups, expected);
#if defined(__x86_64__)
  EXPECT_EQ(kernels["skipped"].size(), 2u);
#endif
}

TEST(Cli, HostileModelsEndInOneLineInEveryVerb) {
  const ModelFiles files;
  std::ofstream(files.folder / "text.onnx") << "this is not a model\n";
  std::ofstream(files.folder / "text.nnq") << "NNQ1 but no more\n";
  const std::string whole = nnq::test::slurp(files.nnq_file());
  std::ofstream(files.folder / "cut.nnq", std::ios::binary) << whole.substr(0, whole.size() / 2);
  for (const char* name : {"text.onnx", "text.nnq", "cut.nnq", "none.onnx", ""}) {
    const std::string model = files.folder / name;
    for (const std::string& line : {"inspect " + model, "run " + model + " --random", "benchmark " + model,
                                    "evaluate " + model + " --data " + files.data(),
                                    "compare " + files.frozen() + " " + model + " --data " + files.data(),
                                    "export " + model + " --to nnq -o " + (files.folder / "x.nnq")}) {
      const Ran ran = nnq(line + " --json");
      EXPECT_EQ(ran.code, 2) << line << "\n" << ran.err;
      EXPECT_EQ(nnq::test::lines_of(ran.err).size(), 1u) << line << "\n" << ran.err;
      EXPECT_TRUE(ran.document()["error"].is_object()) << line << "\n" << ran.out;
      EXPECT_NE(ran.err.find(model), std::string::npos) << "names the file: " << ran.err;
    }
  }
  EXPECT_FALSE(std::filesystem::exists(files.folder / "x.nnq"));
}

}  // namespace
