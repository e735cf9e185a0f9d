// The four functions of Highway's library that the engine calls, so that a plugin needs nothing but the system's libc
// and libm: what this processor can do, and aligned memory.
#include <atomic>
#include <cstdlib>

#include "dsp/lanes/targets.h"
// after the choice of targets
#include <hwy/aligned_allocator.h>
#include <hwy/targets.h>

namespace hwy {

namespace {
std::int64_t detect() {
#if HWY_ARCH_X86
  __builtin_cpu_init();
  std::int64_t found = HWY_STATIC_TARGET | HWY_SCALAR;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul")) {
    found |= HWY_SSE4;
  }
  if (avx2) found |= HWY_AVX2;
  if (avx2 && avx512) found |= HWY_AVX3;
  return found;
#else
  return HWY_STATIC_TARGET | HWY_SCALAR;
#endif
}
}  // namespace

std::int64_t SupportedTargets() {
  static const std::int64_t found = detect();
  return found;
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

void* AllocateAlignedBytes(std::size_t size, AllocPtr allocate, void* opaque) {
  if (allocate != nullptr) return allocate(opaque, size);
  const std::size_t whole = (size + HWY_ALIGNMENT - 1) / HWY_ALIGNMENT * HWY_ALIGNMENT;
  return std::aligned_alloc(HWY_ALIGNMENT, whole);
}

void FreeAlignedBytes(const void* memory, FreePtr free_memory, void* opaque) {
  if (free_memory != nullptr) return free_memory(opaque, const_cast<void*>(memory));
  std::free(const_cast<void*>(memory));
}

}  // namespace hwy
