// The mark of a function that pages call.
#pragma once

#ifdef __wasm__
#define TWINRACK_WEB(name) extern "C" __attribute__((export_name(#name)))
#else
#define TWINRACK_WEB(name) extern "C" __attribute__((visibility("default")))
#endif
