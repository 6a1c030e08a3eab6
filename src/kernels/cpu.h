// What the CPU can do, asked at run time; NNQ_ISA=NAME (portable, avx2, avx512; on Arm portable, neon, neon_dot) holds
// the answer down for tests.
#pragma once

namespace nnq {

/// Of one architecture each is more than those before it; a table holds rows of one architecture only.
enum class Isa { portable, avx2, avx512, neon, neon_dot };

/// Those that this build has kernels for, ascending.
#if defined(__aarch64__)
inline constexpr Isa every_isa[] = {Isa::portable, Isa::neon, Isa::neon_dot};
#else
inline constexpr Isa every_isa[] = {Isa::portable, Isa::avx2, Isa::avx512};
#endif

/// The best instruction set of this CPU that nnq has kernels for, or less when NNQ_ISA says so. avx512 means F, BW, VL,
/// DQ, VNNI, VPOPCNTDQ and VBMI together; avx2 includes FMA and POPCNT; neon is every 64-bit Arm; neon_dot is the dot
/// product of Armv8.2.
Isa active_isa();
/// What the hardware has, whatever NNQ_ISA says.
Isa hardware_isa();
const char* name_of(Isa isa);

}  // namespace nnq
