// What all workers share: noise in, one engine for every block size, and the answers to the lines that Python writes.
//
//   run BLOCK FRAMES     seconds that FRAMES took, after half as many that nobody counts, so that the caches are warm
//                        again, and the clock of the core in Hz (0: not known here)
//   worst BLOCK FRAMES   p50, p99.9 and max of the single blocks, in nanoseconds
//   level BLOCK FRAMES   RMS of the input, of the output and of their difference: does it do anything at all?
//
// Each block is copied in and out, on all sides the same, because pedalboard does so as well.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

using Signal = std::vector<std::vector<float>>;

// Said to the user in one sentence.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;
  virtual void process(const float* const* in, float* const* out, int frames) = 0;
};

// Raw float32, two channels one after the other.
inline Signal read_stereo(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw Refusal("cannot read " + path);
  const auto frames = static_cast<std::size_t>(file.tellg()) / (2 * sizeof(float));
  file.seekg(0);
  Signal x(2, std::vector<float>(frames));
  for (auto& channel : x) {
    file.read(reinterpret_cast<char*>(channel.data()), static_cast<std::streamsize>(frames * sizeof(float)));
  }
  return x;
}

// SYMBOL=VALUE; the value of anything else is not there.
inline bool split(const std::string& word, std::string& name, float& value) {
  const auto at = word.find('=');
  if (at == std::string::npos) return false;
  name = word.substr(0, at);
  value = std::stof(word.substr(at + 1));
  return true;
}

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// A chain of additions, each waiting for the last, takes one cycle each; the quickest of a few was not interrupted. The
// step is in a register, because some cores fold additions of constants away.
inline double clock_hz() {
  constexpr int steps = 400000;
  double best = 0;
  for (int trial = 0; trial < 5; ++trial) {
    unsigned long sum = 0;
    const unsigned long step = 1;
    const auto began = Clock::now();
    for (int i = 0; i < steps; i += 8) {
#if defined(__x86_64__)
      asm volatile(
          "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
          "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0"
          : "+r"(sum)
          : "r"(step));
#elif defined(__aarch64__)
      asm volatile(
          "add %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\t"
          "add %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1"
          : "+r"(sum)
          : "r"(step));
#else
      return 0;
#endif
    }
    best = std::max(best, steps / seconds_since(began));
  }
  return best;
}

// While alive, this thread has the priority of an audio thread, where that is allowed: what delays a single block is
// then the engine and the machine, not the compiler that somebody runs beside it.
class Urgent {
 public:
  Urgent() { set(SCHED_FIFO, 1); }
  ~Urgent() { set(SCHED_OTHER, 0); }
  Urgent(const Urgent&) = delete;
  Urgent& operator=(const Urgent&) = delete;

 private:
  static void set(int policy, int priority) {
    sched_param parameter{};
    parameter.sched_priority = priority;
    pthread_setschedparam(pthread_self(), policy, &parameter);
  }
};

class Bench {
 public:
  Bench(Signal noise, int channels) : noise_(std::move(noise)), channels_(static_cast<std::size_t>(channels)) {
    out_.assign(channels_, std::vector<float>(noise_[0].size()));
    in_at_.resize(channels_);
    out_at_.resize(channels_);
  }

  // From the start of the noise, over and over; `each` hears of every block before and after it.
  template <class Before, class After>
  void go(Engine& engine, int block, long frames, Before before, After after) {
    const auto length = static_cast<long>(noise_[0].size()) / block * block;
    long at = 0;
    for (long done = 0; done < frames; done += block) {
      for (std::size_t c = 0; c < channels_; ++c) {
        in_at_[c] = noise_[c % noise_.size()].data() + at;
        out_at_[c] = out_[c].data() + at;
      }
      before();
      engine.process(in_at_.data(), out_at_.data(), block);
      after();
      at += block;
      if (at == length) at = 0;
    }
  }

  double run(Engine& engine, int block, long frames) {
    const auto nothing = [] {};
    const auto began = Clock::now();
    go(engine, block, frames, nothing, nothing);
    return seconds_since(began);
  }

  std::vector<double> block_times(Engine& engine, int block, long frames) {
    const Urgent urgent;
    std::vector<double> times;
    times.reserve(static_cast<std::size_t>(frames / block + 1));
    Clock::time_point began;
    go(engine, block, frames, [&] { began = Clock::now(); }, [&] { times.push_back(1e9 * seconds_since(began)); });
    std::sort(times.begin(), times.end());
    return times;
  }

  std::vector<double> level(Engine& engine, int block, long frames) {
    frames = std::min(frames, static_cast<long>(noise_[0].size()));
    run(engine, block, frames);
    double in = 0, out = 0, difference = 0;
    const auto count = static_cast<std::size_t>(frames / block * block);
    for (std::size_t n = 0; n < count; ++n) {
      const double x = noise_[0][n], y = out_[0][n];
      in += x * x;
      out += y * y;
      difference += (y - x) * (y - x);
    }
    const auto rms = [&](double power) { return std::sqrt(power / static_cast<double>(count)); };
    return {rms(in), rms(out), rms(difference)};
  }

 private:
  Signal noise_, out_;
  std::size_t channels_;
  std::vector<const float*> in_at_;
  std::vector<float*> out_at_;
};

// Answers until the input ends. `make(block)` builds an engine for blocks of that length; it is warmed up before its
// first answer.
template <class Make>
void serve(const std::string& noise, int channels, double rate, Make make) {
  Bench bench(read_stereo(noise), channels);
  std::map<int, std::unique_ptr<Engine>> engines;
  std::printf("ready\n");
  std::fflush(stdout);
  std::string verb;
  int block = 0;
  long frames = 0;
  while (std::cin >> verb >> block >> frames) {
    auto& engine = engines[block];
    if (engine == nullptr) {
      engine = make(block);
      bench.run(*engine, block, static_cast<long>(rate / 2));
    }
    if (verb == "run") {
      bench.run(*engine, block, frames / 2);
      const double took = bench.run(*engine, block, frames);
      std::printf("%.9f %.0f\n", took, clock_hz());
    } else if (verb == "worst") {
      const auto times = bench.block_times(*engine, block, frames);
      const auto last = static_cast<double>(times.size() - 1);
      const auto at = [&](double share) { return times[static_cast<std::size_t>(std::lround(share * last))]; };
      std::printf("%.0f %.0f %.0f\n", at(0.5), at(0.999), at(1.0));
    } else {
      const auto rms = bench.level(*engine, block, frames);
      std::printf("%.9f %.9f %.9f\n", rms[0], rms[1], rms[2]);
    }
    std::fflush(stdout);
  }
}

// Turns what goes wrong into the one line that Python shows.
template <class Body>
int guarded(Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    std::printf("error: %s\n", error.what());
    return 1;
  }
}

}  // namespace bench
