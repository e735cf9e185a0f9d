// Memory of zeros for a ring of blocks; on Linux another process may map it too.
#pragma once

#include <cstddef>
#include <vector>

namespace twinrack {

class RingMemory {
 public:
  // Of this process alone.
  explicit RingMemory(std::size_t bytes) : own_(bytes) {}
  // That of an open file in memory, which gets this size and keeps it. Throws std::runtime_error where that fails.
  RingMemory(std::size_t bytes, int file);
  ~RingMemory();
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;

  void* data() noexcept { return mapped_ != nullptr ? mapped_ : own_.data(); }

 private:
  std::vector<std::byte> own_;
  void* mapped_ = nullptr;
  [[maybe_unused]] std::size_t bytes_ = 0;
};

}  // namespace twinrack
