// A loop over independent items on several threads, with denormal numbers flushed as in the engine.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "rt/float_guard.h"

namespace twinrack::adjoint {

// libgomp's GOMP_parallel: calls function(data) on every thread of its team.
using Team = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

// The team of threads that torch computes with, or null: then threads are started for each sweep. Two teams would stand
// in each other's way, because threads that have finished wait for more by turning in circles.
inline std::atomic<Team> torch_team{nullptr};

template <class Work>
void parallel_for(int items, int threads, const Work& work) {
  threads = std::clamp(threads, 1, std::max(items, 1));
  struct Call {
    const Work& work;
    int items;
    std::atomic<int> next{0};
    void run() {
      const FloatGuard guard;
      for (int item = next++; item < items; item = next++) work(item);
    }
  } call{work, items};
  const Team team = torch_team.load();
  if (threads == 1) {
    call.run();
  } else if (team != nullptr) {
    team([](void* data) { static_cast<Call*>(data)->run(); }, &call, static_cast<unsigned>(threads), 0);
  } else {
    std::vector<std::thread> others;
    for (int which = 1; which < threads; ++which) others.emplace_back([&] { call.run(); });
    call.run();
    for (auto& other : others) other.join();
  }
}

}  // namespace twinrack::adjoint
