// Splits independent items over threads.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

namespace twinrack::adjoint {

template <class Work>
void parallel_for(int items, int threads, const Work& work) {
  threads = std::clamp(threads, 1, std::max(items, 1));
  const auto some = [&](int which) {
    for (int item = which; item < items; item += threads) work(item);
  };
  std::vector<std::thread> others;
  for (int which = 1; which < threads; ++which) others.emplace_back(some, which);
  some(0);
  for (auto& other : others) other.join();
}

}  // namespace twinrack::adjoint
