// What the CPU can do, asked at run time; NNQ_ISA=portable|avx2|avx512 holds the answer down for tests.
#pragma once

namespace nnq {

enum class Isa { portable, avx2, avx512 };

/// The best instruction set of this CPU that nnq has kernels for, or less when NNQ_ISA says so. avx512 means F, BW, VL,
/// DQ, VNNI, VPOPCNTDQ and VBMI together; avx2 includes FMA and POPCNT.
Isa active_isa();
/// What the hardware has, whatever NNQ_ISA says.
Isa hardware_isa();
const char* name_of(Isa isa);

}  // namespace nnq
