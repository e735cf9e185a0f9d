// The choice of Highway's instruction sets that are compiled. It is included before the first header of Highway.
//
// x86: SSSE3 and AVX-512 with VBMI add nothing to SSE4 and AVX-512 here. Arm: NEON, which every 64-bit processor has,
// and no choice at run time: vectors of SVE have no size, so no struct can hold one; and where Highway chooses at run
// time, GCC compiles the constructors that it writes itself without NEON's attributes, and then refuses to inline.
#ifndef TWINRACK_DSP_LANES_TARGETS_H_
#define TWINRACK_DSP_LANES_TARGETS_H_

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#define TOOLCHAIN_MISS_SYS_AUXV_H  // Highway's name for: do not choose at run time on Arm

#endif
