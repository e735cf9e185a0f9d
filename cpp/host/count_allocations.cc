// The C library's allocation, counted while a plugin runs: one that claims to be real-time capable should do none.
#include "host/count_allocations.h"

#include <cstddef>

extern "C" {
void* __libc_malloc(std::size_t size);
void __libc_free(void* memory);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
}

namespace {
thread_local bool counts = false;
thread_local long calls = 0;
}  // namespace

namespace twinrack::host {
void count_allocations(bool on) { counts = on; }
long counted_allocations() { return calls; }
}  // namespace twinrack::host

extern "C" {
void* malloc(std::size_t size) {
  if (counts) ++calls;
  return __libc_malloc(size);
}
void free(void* memory) {
  if (counts && memory != nullptr) ++calls;
  __libc_free(memory);
}
void* calloc(std::size_t count, std::size_t size) {
  if (counts) ++calls;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  if (counts) ++calls;
  return __libc_realloc(memory, size);
}
}
