// The mark of a function or table that hosts look for in the library.
#pragma once

#if defined(__GNUC__)
#define TWINRACK_EXPORTED __attribute__((visibility("default")))
#else
#define TWINRACK_EXPORTED __declspec(dllexport)
#endif
