#include "engine/rack.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "rt/float_guard.h"

namespace twinrack {

namespace {
constexpr int max_depth = 1000;

// How many sidechains there are; also refuses trees that are too deep to walk.
int count_keys(const Node& node, int depth = 0) {
  if (node.key < -1 || node.key >= max_channels) throw std::invalid_argument("a sidechain is numbered 0 to 15");
  if (depth > max_depth) throw std::invalid_argument("chains and parallels are nested more than 1000 deep");
  int count = node.key + 1;
  for (const Node& child : node.children) count = std::max(count, count_keys(child, depth + 1));
  return count;
}
}  // namespace

Rack::Rack(const Node& root, const Format& format, std::int64_t first_frame) : format_(format), frame_(first_frame) {
  retired_.reserve();
  keys_.resize(static_cast<std::size_t>(count_keys(root)));
  key_blocks_.assign(keys_.size(), SideBlock{nullptr, 0});
  newest_ = program_ = new Program(root, format);
  outgoing_buffers_.assign(static_cast<std::size_t>(format.channels), std::vector<float>(max_segment));
  for (auto& channel : outgoing_buffers_) outgoing_pointers_.push_back(channel.data());
}

Rack::~Rack() {
  collect();
  delete next_.load();
  delete outgoing_;
  delete program_;
}

void Rack::apply(const Message& message, Program& program, bool jump) noexcept TR_RT {
  if (message.kind == Message::Kind::parameter) {
    program.set_parameter(message.index, message.value, jump);
  } else {
    program.set_bypass(message.index, message.value > 0.5f, jump);
  }
}

std::uint64_t Rack::send(Message message) {
  inbox_.reserve();
  message.id = last_id_ + 1;
  if (Program* next = next_.exchange(nullptr, std::memory_order_acquire); next != nullptr) {
    apply(message, *next, true);
    next->request.last = message.id;
    next_.store(next, std::memory_order_release);
  } else if (!inbox_.push(message)) {
    return 0;
  }
  return ++last_id_;
}

void Rack::change_parameter(int parameter, float value) noexcept TR_RT {
  program_->set_parameter(parameter, value, !started_);
}

void Rack::reset() noexcept TR_RT {
  if (outgoing_ != nullptr && retired_.push(outgoing_)) outgoing_ = nullptr;
  program_->reset();
  frame_ = 0;
  started_ = false;
}

std::uint64_t Rack::set_parameter(int parameter, float value) {
  return send({Message::Kind::parameter, parameter, value});
}

std::uint64_t Rack::set_bypass(int effect, bool bypass) {
  return send({Message::Kind::bypass, effect, bypass ? 1.0f : 0.0f});
}

std::uint64_t Rack::swap(const Node& root) {
  collect();
  if (count_keys(root) > static_cast<int>(keys_.size())) {
    throw std::invalid_argument("the new structure has more sidechains than the rack was prepared with");
  }
  auto next = std::make_unique<Program>(root, format_);
  next->request = {last_id_ + 1, last_id_ + 1};
  newest_ = next.get();
  delete next_.exchange(next.release(), std::memory_order_acq_rel);
  return ++last_id_;
}

void Rack::keep_history(bool on) {
  history_.reserve();
  keeps_history_.store(on, std::memory_order_release);
}

int Rack::swap_frames() const noexcept {
  return ((newest_->latency() + tick_frames - 1) / tick_frames + input_fade_ticks + swap_ticks) * tick_frames;
}

void Rack::collect() noexcept {
  Program* old = nullptr;
  while (retired_.pop(old)) delete old;
}

std::vector<EffectMeter> Rack::meters() noexcept {
  std::vector<EffectMeter> all;
  for (int i = 0; i < newest_->effect_count(); ++i) all.push_back(newest_->meter(i));
  meter_reads_.fetch_add(1, std::memory_order_relaxed);
  return all;
}

void Rack::enable_trace(std::int64_t ticks) {
  trace_.assign(static_cast<std::size_t>(ticks) * static_cast<std::size_t>(newest_->parameter_count()), 0.0f);
  traced_ = 0;
}

std::string Rack::save_state() {
  expect_nothing_pending();
  StateArchive archive(StateArchive::Mode::save);
  state(archive);
  return StateHeader::wrap(archive.take_bytes());
}

void Rack::load_state(std::string_view bytes) {
  expect_nothing_pending();
  const std::string_view fields = StateHeader::unwrap(bytes);
  const FloatGuard guard;  // as where effects are tuned while they play
  for (const auto mode : {StateArchive::Mode::check, StateArchive::Mode::load}) {
    StateArchive archive(mode, fields);
    state(archive);
    archive.expect_end();
  }
}

void Rack::expect_nothing_pending() const {
  if (outgoing_ == nullptr && next_.load() == nullptr && !has_pending_ && inbox_.empty()) return;
  throw std::runtime_error("a change is still under way; process some more frames, then save or load the state");
}

void Rack::state(StateArchive& archive) {
  archive.section("the automation");  // first: it may need more memory than there is
  const std::size_t rows = archive.resizable(automation_.parameter), numbers = archive.resizable(automation_.curves);
  if (archive.is_loading()) automation_.ticks = rows == 0 ? 0 : static_cast<std::int64_t>(numbers / rows);
  program_->state(archive);
  archive.section("the stream");
  std::uint32_t faults = input_faults();
  archive(started_, faults);
  archive.bounded(frame_, 0, std::int64_t{1} << 62);
  if (archive.is_loading()) input_faults_.store(faults, std::memory_order_relaxed);
}

// NaN and infinity count as silence.
void Rack::sanitise(float* x, int frames) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) {
    if (std::isfinite(x[n])) continue;
    x[n] = 0.0f;
    input_faults_.fetch_add(1, std::memory_order_relaxed);
  }
}

// The sidechains from `start` on, as far as they are connected; a channel with NaN or infinity is copied and made
// silent there.
void Rack::take_keys(const SideBlock* keys, int start, int frames) noexcept TR_RT {
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    key_blocks_[k] = {nullptr, 0};
    if (keys[k].channel == nullptr) continue;
    SidechainInput& key = keys_[k];
    bool silent = true;
    for (int c = 0; c < keys[k].channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      key.channel[at] = keys[k].channel[c] + start;
      const BlockLevel level = kernels_.measure(&key.channel[at], 1, frames);
      silent = silent && level.peak == 0.0f;
      if (level.finite) continue;
      float* copy = key.copy.data() + at * max_segment;
      std::copy_n(key.channel[at], frames, copy);
      sanitise(copy, frames);
      key.channel[at] = copy;
    }
    key_blocks_[k] = {key.channel.data(), keys[k].channels, silent};
  }
}

void Rack::begin_swap(Program* next) noexcept TR_RT {
  if (keeps_history_.load(std::memory_order_acquire)) history_.push({next->request.id, frame_, next->request.last});
  outgoing_ = program_;
  program_ = next;
  program_->tick(true, true);
  swap_tick_ = 0;
  swap_warm_up_ = input_fade_ticks + (program_->latency() + tick_frames - 1) / tick_frames;
}

// Applies the changes that are for the program that sounds. A change sent after the next program was taken waits for
// the next tick: at this one nothing may depend on which of two threads was quicker, or a take would not render the
// same.
void Rack::apply_messages(const Program* next) noexcept TR_RT {
  while (has_pending_ || inbox_.pop(pending_)) {
    has_pending_ = next != nullptr && pending_.id > next->request.id;
    if (has_pending_) return;
    if (keeps_history_.load(std::memory_order_acquire)) history_.push({pending_.id, frame_, pending_.id});
    apply(pending_, *program_, !started_);
  }
}

void Rack::at_tick() noexcept TR_RT {
  if (outgoing_ != nullptr && swap_tick_ == swap_warm_up_ + swap_ticks) {
    if (retired_.push(outgoing_)) outgoing_ = nullptr;
  }
  // A second swap waits until the first has faded in.
  Program* next = outgoing_ == nullptr ? next_.exchange(nullptr, std::memory_order_acquire) : nullptr;
  apply_messages(next);
  if (next != nullptr) begin_swap(next);
  const std::int64_t tick = frame_ / tick_frames - automation_.first_tick;
  const bool grid = frame_ % max_segment == 0;
  for (std::size_t row = 0; row < automation_.parameter.size(); ++row) {
    if (tick < 0 || tick >= automation_.ticks) break;
    const auto at = row * static_cast<std::size_t>(automation_.ticks) + static_cast<std::size_t>(tick);
    program_->set_parameter(automation_.parameter[row], automation_.curves[at], true);
  }
  if (outgoing_ != nullptr) {
    outgoing_->tick(false, grid);
    ++swap_tick_;
  }
  program_->tick(!started_, grid);
  started_ = true;
  const auto parameters = static_cast<std::size_t>(program_->parameter_count());
  if (traced_ + parameters <= trace_.size()) {
    for (std::size_t i = 0; i < parameters; ++i) trace_[traced_ + i] = program_->parameter(static_cast<int>(i));
    traced_ += parameters;
  }
}

void Rack::process(float* const* channel, const SideBlock* keys, int frames) noexcept TR_RT {
  const FloatGuard guard;
  const std::uint32_t reads = meter_reads_.load(std::memory_order_relaxed);
  if (reads != meter_resets_) program_->restart_meters();
  meter_resets_ = reads;
  float* at[max_channels];
  // Changes sent before this call take effect at its first tick, so a block ends there while one is pending.
  if (!has_pending_) has_pending_ = inbox_.pop(pending_);
  for (int start = 0; start < frames;) {
    const int in_tick = static_cast<int>(frame_ % tick_frames);
    if (in_tick == 0) at_tick();
    int length = std::min(frames - start, max_segment - static_cast<int>(frame_ % max_segment));
    const bool busy = program_->moving() || outgoing_ != nullptr || has_pending_ ||
                      next_.load(std::memory_order_relaxed) != nullptr || !automation_.parameter.empty() ||
                      traced_ < trace_.size();
    if (busy) length = std::min(length, tick_frames - in_tick);
    for (int c = 0; c < format_.channels; ++c) at[c] = channel[c] + start;
    BlockLevel level = kernels_.measure(at, format_.channels, length);
    if (!level.finite) {
      for (int c = 0; c < format_.channels; ++c) sanitise(at[c], length);
      level = kernels_.measure(at, format_.channels, length);
    }
    if (keys != nullptr) take_keys(keys, start, length);
    const SideBlock* key = keys == nullptr ? nullptr : key_blocks_.data();
    if (outgoing_ != nullptr) {
      crossfade(at, key, length, level);
    } else {
      program_->process(at, key, length, level);
    }
    start += length;
    frame_ += length;
  }
  program_->publish_meters();
}

// The new program's input fades in, so that nothing in it rings from a sudden beginning. It runs unheard until that has
// come out, then fades in over swap_ticks.
void Rack::crossfade(float* const* channel, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT {
  const int in_tick = static_cast<int>(frame_ % tick_frames);
  for (int c = 0; c < format_.channels; ++c)
    std::copy_n(channel[c], frames, outgoing_pointers_[static_cast<std::size_t>(c)]);
  outgoing_->process(outgoing_pointers_.data(), keys, frames, level);
  if (swap_tick_ <= input_fade_ticks) {
    constexpr float step = 1.0f / (input_fade_ticks * tick_frames);
    const float begin = step * static_cast<float>((swap_tick_ - 1) * tick_frames + in_tick + 1);
    for (int c = 0; c < format_.channels; ++c) kernels_.crossfade(channel[c], silence_.data(), begin, step, frames);
  }
  program_->process(channel, keys, frames, level);
  constexpr float step = 1.0f / (swap_ticks * tick_frames);
  const int done = (swap_tick_ - 1 - swap_warm_up_) * tick_frames + in_tick + 1;
  for (int c = 0; c < format_.channels; ++c) {
    kernels_.crossfade(channel[c], outgoing_pointers_[static_cast<std::size_t>(c)], static_cast<float>(done) * step,
                       step, frames);
  }
}

}  // namespace twinrack
