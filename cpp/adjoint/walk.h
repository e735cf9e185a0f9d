// Splits independent items over threads, with denormal numbers flushed as in the engine.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

#include "rt/float_guard.h"

namespace twinrack::adjoint {

template <class Work>
void parallel_for(int items, int threads, const Work& work) {
  threads = std::clamp(threads, 1, std::max(items, 1));
  const auto some = [&](int which) {
    const FloatGuard guard;
    for (int item = which; item < items; item += threads) work(item);
  };
  std::vector<std::thread> others;
  for (int which = 1; which < threads; ++which) others.emplace_back(some, which);
  some(0);
  for (auto& other : others) other.join();
}

}  // namespace twinrack::adjoint
