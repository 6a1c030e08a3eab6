// Packed panels come back as the weights they were made of; memory ends where the panels end.
#include "kernels/direct/packed_panels.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

TEST(PackedPanels, ComeBackOnEveryInstructionSet) {
  Random random(4);
  for (const int bits : {2, 3, 4}) {
    for (const std::int64_t steps : {1, 2, 3, 4, 5, 9, 144}) {
      const PackedPanel form{bits, steps * 64};
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(form.weights));
      for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(random.below(std::uint64_t{1} << bits));
      Guarded<std::uint8_t> packed(static_cast<std::size_t>(form.bytes()));
      pack_panel(form, codes.data(), packed.data());
      for (const Isa isa : {Isa::portable, Isa::avx2}) {
        if (isa > hardware_isa()) continue;
        Guarded<std::int8_t> panel(static_cast<std::size_t>(form.room()));
        unpack_panel(isa)(form, packed.data(), 5, panel.data());
        for (std::int64_t e = 0; e < form.weights; ++e)
          ASSERT_EQ(panel[e], codes[static_cast<std::size_t>(e)] - 5) << name_of(isa) << " " << bits << " bits, " << e;
      }
    }
  }
}

TEST(PackedPanels, TakeTheirBits) {
  for (const int bits : {2, 3, 4}) EXPECT_EQ((PackedPanel{bits, 4608 * 16}.bytes()), 4608 * 16 * bits / 8);
}

}  // namespace
}  // namespace nnq::test
