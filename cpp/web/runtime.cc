// A module without unwinding: who throws leaves a sentence for the page, and the module stops.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <typeinfo>

#include "web/exported.h"

namespace {
char last_words[512];
}  // namespace

TWINRACK_WEB(tw_last_words) const char* tw_last_words() { return last_words; }

#ifdef __wasm__
// Called where the source throws; all that the engine throws is a std::exception.
extern "C" void* __cxa_allocate_exception(std::size_t size) noexcept { return std::malloc(size); }
extern "C" void __cxa_free_exception(void* thrown) noexcept { std::free(thrown); }
extern "C" [[noreturn]] void __cxa_throw(void* thrown, std::type_info*, void (*)(void*)) {
  std::strncpy(last_words, static_cast<std::exception*>(thrown)->what(), sizeof last_words - 1);
  __builtin_trap();
}
#endif
