// A scope in which this thread reads and writes denormal numbers as zero, so that a decaying tail costs no more than a
// loud one. The previous mode returns at its end.
#pragma once

#include "rt/realtime.h"

#if defined(__SSE__) || defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace twinrack {

class FloatGuard {
 public:
#if defined(__SSE__) || defined(__x86_64__) || defined(_M_X64)
  FloatGuard() noexcept TR_RT : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }  // FTZ | DAZ
  ~FloatGuard() TR_RT { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FloatGuard() noexcept TR_RT {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(before_ | (std::uint64_t{1} << 24)));  // FZ
  }
  ~FloatGuard() TR_RT { asm volatile("msr fpcr, %0" ::"r"(before_)); }

 private:
  std::uint64_t before_ = 0;
#else
  FloatGuard() noexcept TR_RT {}
#endif
 public:
  FloatGuard(const FloatGuard&) = delete;
  FloatGuard& operator=(const FloatGuard&) = delete;
};

// Where no mode does that (WebAssembly), numbers below `nothing` become zero where sound enters and leaves an effect,
// and in the states of filters at the end of a block. An effect that hears nothing then sleeps before its other states
// get there.
#ifdef __wasm__
inline constexpr bool has_float_mode = false;
#else
inline constexpr bool has_float_mode = true;
#endif
inline constexpr float nothing = 1e-15f;  // -300 dBFS

}  // namespace twinrack
