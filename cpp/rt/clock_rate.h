// The rate of the processor's tick counter, measured once.
#pragma once

#include <cstdint>

#include "rt/clock.h"

#ifndef __wasm__  // a page has neither the counter nor threads
#include <chrono>
#include <thread>
#endif

namespace twinrack {

// Takes 10 ms, once; never on the audio thread.
inline double ticks_per_second() {
#ifdef __wasm__
  return 0.0;
#else
  static const double rate = [] {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const std::uint64_t first = clock_ticks();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::uint64_t last = clock_ticks();
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    return static_cast<double>(last - first) / elapsed.count();
  }();
  return rate;
#endif
}

}  // namespace twinrack
