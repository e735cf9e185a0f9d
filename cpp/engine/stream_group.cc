#include "engine/stream_group.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace twinrack {

namespace {
constexpr float largest_float = std::numeric_limits<float>::max();

bool runs_side_by_side(const Node& node) {
  if (node.worker != nullptr || node.key >= 0 || !node.drives.empty()) return false;
  if (node.kind == Node::Kind::split) return false;
  return std::all_of(node.children.begin(), node.children.end(), runs_side_by_side);
}

bool gains(const Node& node) {
  if (node.kind == Node::Kind::effect) {
    const EffectType* type = find_effect(node.effect.c_str());
    return type != nullptr && type->process_streams != nullptr;
  }
  return std::any_of(node.children.begin(), node.children.end(), gains);
}
}  // namespace

bool StreamGroup::fits(const Node& root, int channels) {
  return channels <= 2 && kernels().lanes > 1 && runs_side_by_side(root) && gains(root);
}

StreamGroup::StreamGroup(std::vector<std::unique_ptr<Program>> programs)
    : programs_(std::move(programs)),
      channels_(programs_.front()->context().format.channels),
      rows_(static_cast<std::size_t>(kernels_.lanes * channels_) * max_segment) {
  const auto numbers = static_cast<std::size_t>(channels_ * kernels_.lanes) * max_segment;
  for (std::size_t b = 0; b < programs_.front()->compiled().buffers; ++b) {
    buffers_.push_back({hwy::AllocateAligned<float>(numbers), std::vector<float>(max_streams)});
    if (buffers_.back().memory == nullptr) throw std::bad_alloc();
    std::fill_n(buffers_.back().memory.get(), numbers, 0.0f);
  }
  for (const Slot& slot : programs_.front()->compiled().slots) {
    const EffectType& type = slot.effect.type();
    memories_.emplace_back();
    if (type.create_streams == nullptr) continue;
    memories_.back().memory = {type.create_streams(programs_.front()->context().format), type.destroy_streams};
  }
}

StreamBlock StreamGroup::block(std::size_t buffer, int start, int frames) noexcept {
  StreamBlock io{{}, channels_, frames};
  for (int c = 0; c < channels_; ++c) {
    io.channel[c] =
        buffers_[buffer].memory.get() + static_cast<std::ptrdiff_t>(c * max_segment + start) * kernels_.lanes;
  }
  return io;
}

float* StreamGroup::row(int stream, int channel) noexcept {
  return rows_.data() + static_cast<std::ptrdiff_t>(stream * channels_ + channel) * max_segment;
}

bool StreamGroup::process(const float* const* const* from, float* const* const* to, bool past_caches) {
  const StreamBlock all = block(0, 0, max_segment);
  for (int c = 0; c < channels_; ++c) kernels_.to_streams(from[c], all.channel[c], max_segment);
  for (int start = 0; start < max_segment;) {
    bool moving = false;
    for (const auto& program : programs_) {
      program->tick(!started_, start == 0);
      moving = moving || program->moving();
    }
    started_ = true;
    const int frames = moving ? tick_frames : max_segment - start;
    if (!measure(0, start, frames)) return false;
    for (std::size_t i = 0; i < programs_.front()->compiled().steps.size(); ++i) {
      if (!run_step(i, start, frames)) return false;
    }
    start += frames;
  }
  const auto write = past_caches ? kernels_.from_streams_past_caches : kernels_.from_streams;
  for (int c = 0; c < channels_; ++c) write(all.channel[c], to[c], max_segment);
  return true;
}

bool StreamGroup::run_step(std::size_t which, int start, int frames) {
  const Step& step = programs_.front()->compiled().steps[which];
  const StreamBlock to = block(step.to, start, frames);
  switch (step.kind) {
    case Step::Kind::effect:
      if (run_effect(step, start, frames)) return are_finite(buffers_[step.to].peaks);
      break;
    case Step::Kind::split:
      return false;  // `fits` refuses it
    case Step::Kind::copy: {
      const StreamBlock from = block(step.from, start, frames);
      for (int c = 0; c < channels_; ++c) std::copy_n(from.channel[c], frames * kernels_.lanes, to.channel[c]);
      buffers_[step.to].peaks = buffers_[step.from].peaks;
      return true;
    }
    case Step::Kind::add:
      add(step, start, frames);
      break;
    case Step::Kind::delay:
      delay(which, start, frames);
      break;
  }
  return measure(step.to, start, frames);
}

bool StreamGroup::run_effect(const Step& step, int start, int frames) {
  const StreamBlock io = block(step.to, start, frames);
  std::vector<float>& peaks = buffers_[step.to].peaks;
  void* const memory = memories_[step.index].memory.get();
  int groups[max_streams], together = -1, members = 0;
  for (int k = 0; k < size(); ++k) {
    const Slot& own = slot(k, step.index);
    groups[k] = own.is_plain() ? own.effect.stream_group() : -1;
    // In silence the effect is asked whether its tail has ended, so its past must be its own.
    if (memory != nullptr && peaks[static_cast<std::size_t>(k)] == 0.0f) groups[k] = -1;
  }
  for (int k = 0; k < size(); ++k) {
    const auto same = static_cast<int>(std::count(groups, groups + size(), groups[k]));
    if (groups[k] < 0 || same <= members) continue;
    together = groups[k];
    members = same;
  }
  if (members < least_streams()) {
    for (int k = 0; k < size(); ++k) move_past(step, k, false);
    run_all_alone(step, io);
    return false;
  }
  void* effects[max_streams] = {};
  for (int k = 0; k < size(); ++k) {
    move_past(step, k, groups[k] == together);
    if (groups[k] != together) {
      extract(io, k);
      continue;
    }
    Slot& own = slot(k, step.index);
    own.sleep.input_heard = own.sleep.input_heard || peaks[static_cast<std::size_t>(k)] != 0.0f;
    effects[k] = own.effect.self();
  }
  frames_together_ += static_cast<std::int64_t>(members) * frames;
  slot(0, step.index).effect.type().process_streams(memory, effects, io, peaks.data());
  for (int k = 0; k < size(); ++k) {
    if (groups[k] == together) continue;
    run_alone(step, k, io);
    insert(io, k);
  }
  return members == size();
}

bool StreamGroup::measure(std::size_t buffer, int start, int frames) {
  kernels_.measure_streams(block(buffer, start, frames), buffers_[buffer].peaks.data());
  return are_finite(buffers_[buffer].peaks);
}

bool StreamGroup::are_finite(const std::vector<float>& peaks) const {
  return std::all_of(peaks.begin(), peaks.begin() + size(), [](float peak) { return peak <= largest_float; });
}

void StreamGroup::move_past(const Step& step, int stream, bool to_lane) {
  Memory& memory = memories_[step.index];
  bool& holds = memory.holds[static_cast<std::size_t>(stream)];
  if (memory.memory == nullptr || holds == to_lane) return;
  EffectInstance& effect = slot(stream, step.index).effect;
  (to_lane ? effect.type().take_stream : effect.type().give_stream)(memory.memory.get(), effect.self(), stream);
  holds = to_lane;
}

// One stream, in its rows.
void StreamGroup::run_alone(const Step& step, int stream, const StreamBlock& io) {
  Program& program = *programs_[static_cast<std::size_t>(stream)];
  float* channel[2] = {};
  for (int c = 0; c < channels_; ++c) channel[c] = row(stream, c);
  BlockLevel level = kernels_.measure(channel, channels_, io.frames);
  program.compiled().slots[step.index].process(channel, nullptr, io.frames, level, program.context());
}

void StreamGroup::run_all_alone(const Step& step, const StreamBlock& io) {
  const auto nothing_to_do = [&](int k) { return slot(k, step.index).is_bypassed(); };
  bool all = true;
  for (int k = 0; k < size(); ++k) all = all && nothing_to_do(k);
  if (all) return;
  float* rows[2][max_streams];
  for (int c = 0; c < channels_; ++c) {
    for (int k = 0; k < kernels_.lanes; ++k) rows[c][k] = row(k, c);
    kernels_.from_streams(io.channel[c], rows[c], io.frames);
  }
  for (int k = 0; k < size(); ++k) run_alone(step, k, io);
  for (int c = 0; c < channels_; ++c) kernels_.to_streams(rows[c], io.channel[c], io.frames);
}

void StreamGroup::add(const Step& step, int start, int frames) {
  const StreamBlock to = block(step.to, start, frames), from = block(step.from, start, frames);
  for (int c = 0; c < channels_; ++c) {
    float* y = to.channel[c];
    const float* x = from.channel[c];
    for (int i = 0; i < frames * kernels_.lanes; ++i) y[i] = std::clamp(y[i] + x[i], -largest_float, largest_float);
  }
}

void StreamGroup::delay(std::size_t which, int start, int frames) {
  for (int k = 0; k < size(); ++k) {
    CompiledRack& rack = programs_[static_cast<std::size_t>(k)]->compiled();
    const Step& step = rack.steps[which];
    if (step.frames == 0) continue;
    const StreamBlock io = block(step.to, start, frames);
    extract(io, k);
    for (int c = 0; c < channels_; ++c) {
      DelayLine& line = rack.delays[step.index][static_cast<std::size_t>(c)];
      line.write(row(k, c), frames);
      std::copy_n(line.written(frames, step.frames), frames, row(k, c));
    }
    insert(io, k);
  }
}

void StreamGroup::extract(const StreamBlock& io, int stream) {
  for (int c = 0; c < channels_; ++c) {
    float* to = row(stream, c);
    for (int n = 0; n < io.frames; ++n) to[n] = io.channel[c][n * kernels_.lanes + stream];
  }
}

void StreamGroup::insert(const StreamBlock& io, int stream) {
  for (int c = 0; c < channels_; ++c) {
    const float* from = row(stream, c);
    for (int n = 0; n < io.frames; ++n) io.channel[c][n * kernels_.lanes + stream] = from[n];
  }
}

}  // namespace twinrack
