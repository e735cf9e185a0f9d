// TR_RT marks a function that the audio thread may call: it does not allocate, lock, wait, throw or call the system.
// Compilers that can check the promise (Clang 20 and later, -Wfunction-effects) do; to the others it is a comment.
#pragma once

#if defined(__clang__) && defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::nonblocking)
#define TR_RT [[clang::nonblocking]]
#endif
#endif
#ifndef TR_RT
#define TR_RT
#endif
