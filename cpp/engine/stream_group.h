// Programs of one structure that run side by side, each with a sound of its own: their effects share the lanes of
// vectors.
//
// Every program keeps the state of its effects. For each stretch the lanes are loaded from there and stored again, so
// an effect that sleeps, ramps or fades meanwhile runs alone, in the midst of the others. The delay lines of a reverb
// would take too long for that: they stay side by side until the effect runs alone.
#pragma once

#include <hwy/aligned_allocator.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/kernels.h"
#include "engine/program.h"

namespace twinrack {

class StreamGroup {
 public:
  // Fewer streams are quicker one after the other.
  static int least_streams() noexcept { return (kernels().lanes + 2) / 3; }
  // Whether programs of this tree may run side by side, and gain from it.
  static bool fits(const Node& root, int channels);

  // At most as many as there are lanes, of one structure and format, at the beginning of their streams.
  explicit StreamGroup(std::vector<std::unique_ptr<Program>> programs);

  int size() const noexcept { return static_cast<int>(programs_.size()); }
  int latency(int stream) const noexcept { return programs_[static_cast<std::size_t>(stream)]->latency(); }

  // Frames that effects have processed side by side, of each stream and effect.
  std::int64_t frames_together() const noexcept { return frames_together_; }

  // The next max_segment frames: `from` and `to` are rows for each channel and lane, of which those beyond the last
  // stream are read as well, and overwritten. False where a sample became too large to be sure that every stream is
  // what it is alone; the group is of no use then.
  // With `past_caches` the rows are written for much that is not read again soon.
  bool process(const float* const* const* from, float* const* const* to, bool past_caches);

 private:
  // The past of an effect's streams side by side, and of which ones it is there.
  struct Memory {
    std::unique_ptr<void, void (*)(void*) noexcept> memory{nullptr, [](void*) noexcept {}};
    std::array<bool, max_streams> holds{};
  };
  struct Buffer {
    hwy::AlignedFreeUniquePtr<float[]> memory;
    std::vector<float> peaks;  // of each stream
  };

  StreamBlock block(std::size_t buffer, int start, int frames) noexcept;
  bool run_step(std::size_t which, int start, int frames);
  // Whether the peaks of the output are known.
  bool run_effect(const Step& step, int start, int frames);
  // The past of a stream goes to its lane, or back to its effect, where it is not there yet.
  void move_past(const Step& step, int stream, bool to_lane);
  void run_alone(const Step& step, int stream, const StreamBlock& io);
  void run_all_alone(const Step& step, const StreamBlock& io);
  void add(const Step& step, int start, int frames);
  void delay(std::size_t which, int start, int frames);
  bool measure(std::size_t buffer, int start, int frames);
  bool are_finite(const std::vector<float>& peaks) const;
  void extract(const StreamBlock& io, int stream);
  void insert(const StreamBlock& io, int stream);
  float* row(int stream, int channel) noexcept;
  Slot& slot(int stream, std::size_t index) {
    return programs_[static_cast<std::size_t>(stream)]->compiled().slots[index];
  }

  const Kernels& kernels_ = kernels();
  std::vector<std::unique_ptr<Program>> programs_;
  int channels_;
  std::vector<Buffer> buffers_;
  std::vector<Memory> memories_;  // of each effect
  std::vector<float> rows_;       // streams as they are alone
  bool started_ = false;
  std::int64_t frames_together_ = 0;
};

}  // namespace twinrack
