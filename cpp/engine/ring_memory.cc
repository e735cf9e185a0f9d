#include "engine/ring_memory.h"

#include <stdexcept>

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace twinrack {

#ifdef __linux__

// The other process cannot shrink it under our audio thread.
RingMemory::RingMemory(std::size_t bytes, int file) : bytes_(bytes) {
  if (ftruncate(file, static_cast<off_t>(bytes)) != 0 ||
      fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw std::runtime_error("the shared memory cannot be made");
  }
  mapped_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
  if (mapped_ == MAP_FAILED) throw std::runtime_error("the shared memory cannot be mapped");
}

RingMemory::~RingMemory() {
  if (mapped_ != nullptr) munmap(mapped_, bytes_);
}

#else

RingMemory::RingMemory(std::size_t, int) {
  throw std::runtime_error("only Linux shares memory between processes in this version");
}
RingMemory::~RingMemory() = default;

#endif

}  // namespace twinrack
