// How packed weights lie in a cache's file is a format: files outlive the nnq that wrote them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "core/atomic_file.h"
#include "core/checksum.h"
#include "kernels/direct/direct.h"
#include "nnq/runtime.h"
#include "runtime/interpreters_bits.h"
#include "runtime/packed_kinds.h"
#include "runtime/weights_file.h"

namespace nnq::test {
namespace {

/// Key without instruction set and step ("direct 2 ..."), numbers and checksums of every entry that the program has.
std::string layouts(const std::vector<std::byte>& image, std::set<std::string>& kinds) {
  const WeightsFolder folder;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<Tensor> outputs;
  EXPECT_TRUE(Model::from_bytes(image, model).ok());
  EXPECT_TRUE(Session::create(model, {.weights_cache = folder.cache()}, session).ok());
  EXPECT_TRUE(session->run(PackedKinds().inputs(), outputs).ok());
  std::vector<std::byte> bytes;
  WeightsEntries entries;
  EXPECT_TRUE(try_read_file(folder.files().at(0), 1 << 24, bytes).ok());
  const Status read = read_weights(bytes, checksum64(std::span(image).subspan(64)), entries);
  EXPECT_TRUE(read.ok()) << read.message();
  std::string all;
  for (const auto& [key, entry] : entries) {
    std::istringstream words(key);
    std::string isa, step, kind;
    words >> isa >> step >> kind;
    kinds.insert(kind);
    all += text(key, " ", checksum64(entry.parts.numbers));
    for (const std::uint64_t sum : entry.checksums) all += text(" ", sum);
    all += "\n";
  }
  return all;
}

/// If this fails because you changed how weights are packed, or a packed type's members: raise weights_format
/// (runtime/weights_file.h) and record what is printed. A new kernel beside the old ones changes nothing here.
TEST(PackedLayouts, AreThoseOfTheFormat) {
  struct Recorded {
    const char* isa;
    std::uint32_t format;
    std::uint64_t checksum;
  };
  const Recorded recorded[] = {{"portable", 3, 14792069752004097761U}, {"avx2", 3, 3320410321124723318U}};
  const PackedKinds all;
  const Status checked = check_program(all.program());
  ASSERT_TRUE(checked.ok()) << checked.message();
  const std::vector<std::byte> image = serialize_program(all.program());
  const IsaReset reset;
  for (const Recorded& r : recorded) {
    setenv("NNQ_ISA", r.isa, 1);
    if (std::string(name_of(active_isa())) != r.isa) continue;
    std::set<std::string> kinds;
    const std::string found = layouts(image, kinds);
    EXPECT_EQ(r.format, weights_format);
    EXPECT_EQ(checksum64(std::as_bytes(std::span(found.data(), found.size()))), r.checksum) << r.isa << "\n" << found;
    std::set<std::string> expected = {"levels", "direct", "depthwise", "matvec", "signs", "planes", "product", "dense"};
    if (direct_kernels(active_isa()).ternary != nullptr) expected.insert("ternary");
    EXPECT_EQ(kinds, expected);
  }
}

/// Types that steps share are all of those above: a new one belongs into packed_kinds.h.
TEST(PackedLayouts, AreOfEveryTypeThatIsShared) {
  std::set<std::string> types;
  const std::regex use("shared<(\\w+)>\\(");
  for (const auto& file :
       std::filesystem::directory_iterator(std::filesystem::path(NNQ_SOURCE_DIR) / "src/runtime/steps")) {
    std::ifstream in(file.path());
    std::stringstream all;
    all << in.rdbuf();
    const std::string text = all.str();
    for (std::sregex_iterator it(text.begin(), text.end(), use), end; it != end; ++it) types.insert((*it)[1]);
  }
  EXPECT_EQ(types,
            (std::set<std::string>{"WeightLevels", "PackedLayer", "PackedDepthwise", "PackedMatvec", "PackedSigns",
                                   "PlanePanels", "VectorProduct", "IntegerProduct", "PackedFloats"}));
}

TEST(PackedLayouts, GiveTheInterpretersBits) {
  const PackedKinds all;
  expect_interpreters_bits(all.program(), all.inputs(), "every kind");
}

}  // namespace
}  // namespace nnq::test
