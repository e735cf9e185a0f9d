#include "host/ring_player.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "rt/clock.h"

namespace twinrack::host {

namespace {
// Decaying tails would cost a hundred times as much.
void flush_denormals() {
#ifdef __SSE__
  _mm_setcsr(_mm_getcsr() | 0x8040u);
#elif defined(__aarch64__)
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (1ull << 24)));
#endif
}
}  // namespace

std::size_t instances_for(int inputs, int outputs, int channels) {
  if (inputs == 1 && outputs == 1) return static_cast<std::size_t>(channels);
  const bool takes = inputs == 1 || inputs >= channels || channels == 1;
  const bool gives = outputs == 1 || outputs >= channels || channels == 1;
  if (inputs < 1 || outputs < 1 || !takes || !gives) {
    throw std::runtime_error("it has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) +
                             " outputs, which do not fit a rack of " + std::to_string(channels) + " channels");
  }
  return 1;
}

RingPlayer::RingPlayer(std::vector<std::unique_ptr<HostedPlugin>> instances, ChannelMap map, const RingShape& shape,
                       void* memory, const TempoMap& tempo, const MidiScore& score)
    : instances_(std::move(instances)),
      map_(std::move(map)),
      ring_(shape, memory),
      applied_(map_.ports.size(), std::nanf("")),
      expected_(map_.ports.size(), std::nanf("")),
      tempo_(tempo),
      score_(score) {
  for (const auto& instance : instances_) {
    rows_.emplace_back(static_cast<std::size_t>(instance->inputs() + instance->outputs()) *
                       static_cast<std::size_t>(shape.block));
  }
}

void RingPlayer::expect(std::size_t port, float value) {
  for (std::size_t i = 0; i < map_.ports.size(); ++i) {
    if (map_.ports[i] == port) expected_[i] = value;
  }
  for (std::size_t i = 1; i < instances_.size(); ++i) instances_[i]->set(port, value);
}

RingPlayer::~RingPlayer() {
  stops_ = true;
  if (thread_.joinable()) thread_.join();
}

int RingPlayer::pump() {
  flush_denormals();
  int played = 0;
  for (int slot = 0; (slot = ring_.fetch()) >= 0; ++played) play(slot);
  return played;
}

void RingPlayer::start(double period_s, bool is_waited_for) {
  if (thread_.joinable()) return;
  // A block comes once in a period and is due a period later; so often looking for it costs little.
  const auto pause = std::chrono::microseconds(std::clamp(static_cast<int>(period_s * 1e6 / 8.0), 50, 1000));
  thread_ = std::thread([this, pause, period_s, is_waited_for] {
    flush_denormals();
    const sched_param lowest{.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &lowest);  // where it is allowed
    if (is_waited_for) return await(period_s);
    while (!stops_) {
      const int slot = ring_.fetch();
      slot >= 0 ? play(slot) : std::this_thread::sleep_for(pause);
    }
  });
}

// Blocks come one by one, or several in one callback of the device: after each it looks for another at once, then
// sleeps until shortly before the next callback, once two have come at the same distance.
void RingPlayer::await(double period_s) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  constexpr Seconds at_once(100e-6), early(250e-6), nap(50e-6);
  constexpr double most_gaps = 4.0;  // after which the device seems to pause
  prctl(PR_SET_TIMERSLACK, 1);
  Clock::time_point last = Clock::now();  // when a block came
  Seconds gap(period_s), distance(period_s);
  while (!stops_) {
    const int slot = ring_.fetch();
    const Seconds since = Clock::now() - last;
    if (slot >= 0) {
      if (since > 0.5 * Seconds(period_s)) {
        const bool is_steady = std::abs(since / distance - 1.0) < 0.25;
        gap = is_steady ? std::min(since, distance) : Seconds(period_s);
        distance = since;
      }
      last = Clock::now();
      play(slot);
    } else if (since < at_once || (since > gap - early && since < most_gaps * gap)) {
      rest();
    } else {
      const Seconds longest(since < gap ? 0.25 * period_s : period_s);  // for blocks that come sooner
      std::this_thread::sleep_for(std::clamp(gap - early - since, std::min(nap, longest), longest));
    }
  }
}

void RingPlayer::play(int slot) {
  const std::lock_guard lock(mutex_);
  const RingShape& shape = ring_.shape();
  const std::int32_t restarts = ring_.slot(slot).restarts.load(std::memory_order_relaxed);
  if (restarts_ && *restarts_ != restarts) {
    for (const auto& instance : instances_) instance->reset();
    sent_.clear();
  }
  restarts_ = restarts;
  for (std::size_t i = 0; i < instances_.size(); ++i) gather(slot, i);
  const std::int64_t begin = ring_.slot(slot).since.load(std::memory_order_relaxed) * shape.block;
  const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(shape.values);
  for (int tick = 0; tick < shape.ticks();) {  // stretches of equal values
    int end = tick + 1;
    while (end < shape.ticks() && std::memcmp(ring_.values(slot, tick), ring_.values(slot, end), bytes) == 0) ++end;
    apply(ring_.values(slot, tick));
    const int first = tick * tick_frames, frames = std::min(end * tick_frames, shape.block) - first;
    const Transport now = tempo_.at(begin + first);
    for (std::size_t i = 0; i < instances_.size(); ++i) {
      for (const MidiMessage& message : sent_) instances_[i]->hear(message);
      for (MidiMessage message : score_.between(now.frame, now.frame + frames)) {
        message.frame -= now.frame;
        instances_[i]->hear(message);
      }
      instances_[i]->set_transport(now);
      instances_[i]->run(rows_[i].data(), first, frames);
    }
    sent_.clear();
    tick = end;
  }
  scatter(slot);
  ring_.report_latency(instances_[0]->latency());
  ring_.give_back(slot, true);
}

// Those that moved, so that what somebody moves in the plugin's window stays.
void RingPlayer::apply(const float* values) {
  for (std::size_t i = 0; i < map_.ports.size(); ++i) {
    if (values[i] == applied_[i]) continue;
    applied_[i] = values[i];
    const bool is_expected = values[i] == std::exchange(expected_[i], std::nanf(""));
    for (std::size_t k = is_expected ? 1 : 0; k < instances_.size(); ++k) instances_[k]->set(map_.ports[i], values[i]);
  }
}

// A mono input of the whole hears the mean of all channels; inputs beyond the channels hear silence.
void RingPlayer::gather(int slot, std::size_t instance) {
  const RingShape& shape = ring_.shape();
  const std::size_t block = static_cast<std::size_t>(shape.block);
  const auto mains = std::count(map_.is_sidechain.begin(), map_.is_sidechain.end(), false);
  int main = 0, side = 0;
  for (std::size_t i = 0; i < map_.is_sidechain.size(); ++i) {
    float* row = rows_[instance].data() + i * block;
    if (map_.is_sidechain[i]) {
      side < shape.keys ? std::copy_n(ring_.key(slot, side), block, row) : std::fill_n(row, block, 0.0f);
      ++side;
      continue;
    }
    if (instances_.size() > 1 || shape.channels == 1) {
      std::copy_n(ring_.channel(slot, static_cast<int>(instance)), block, row);
    } else if (mains == 1) {
      std::fill_n(row, block, 0.0f);
      for (int c = 0; c < shape.channels; ++c) {
        const float* x = ring_.channel(slot, c);
        for (std::size_t n = 0; n < block; ++n) row[n] += x[n] / static_cast<float>(shape.channels);
      }
    } else {
      main < shape.channels ? std::copy_n(ring_.channel(slot, main), block, row) : std::fill_n(row, block, 0.0f);
    }
    ++main;
  }
}

// Where a mono rack gets several outputs, it hears their mean; outputs beyond the channels are not heard.
void RingPlayer::scatter(int slot) {
  const RingShape& shape = ring_.shape();
  const std::size_t block = static_cast<std::size_t>(shape.block);
  const int outputs = instances_[0]->outputs();
  const auto output = [&](std::size_t instance, int o) {
    return rows_[instance].data() + static_cast<std::size_t>(instances_[instance]->inputs() + o) * block;
  };
  for (int c = 0; c < shape.channels; ++c) {
    float* y = ring_.channel(slot, c);
    if (instances_.size() > 1) {
      std::copy_n(output(static_cast<std::size_t>(c), 0), block, y);
    } else if (shape.channels == 1 && outputs > 1) {
      std::fill_n(y, block, 0.0f);
      for (int o = 0; o < outputs; ++o) {
        for (std::size_t n = 0; n < block; ++n) y[n] += output(0, o)[n] / static_cast<float>(outputs);
      }
    } else {
      std::copy_n(output(0, outputs == 1 ? 0 : c), block, y);
    }
  }
}

}  // namespace twinrack::host
