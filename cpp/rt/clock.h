// The processor's tick counter, which the audio thread may read without a system call.
#pragma once

#include <cstdint>

#include "rt/realtime.h"

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#endif

namespace twinrack {

inline std::uint64_t clock_ticks() noexcept TR_RT {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#elif defined(_M_X64) || defined(_M_IX86)
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t now = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(now));
  return now;
#else
  return 0;
#endif
}

// Lets the other thread of the core work for some cycles, in a loop that waits.
inline void rest() noexcept TR_RT {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(_M_X64) || defined(_M_IX86)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace twinrack
