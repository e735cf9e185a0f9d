// Rows of sound as the channels of ports or buses, one after the other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace twinrack::host {

struct ChannelRows {
  std::vector<std::vector<float*>> rows;  // of each port, its channels
  int channels = 0;                       // of all

  void add(std::size_t count) {
    rows.emplace_back(count);
    channels += static_cast<int>(count);
  }
  // The channels lie `stride` floats from each other.
  void point_to(float* first, std::size_t stride) {
    for (auto& port : rows) {
      for (float*& row : port) {
        row = first;
        first += stride;
      }
    }
  }
  void silence(int frames) const {
    for (const auto& port : rows) {
      for (float* row : port) std::fill_n(row, frames, 0.0f);
    }
  }
};

}  // namespace twinrack::host
