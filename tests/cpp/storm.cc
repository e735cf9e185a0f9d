// The engine and the live mixer under storm: one thread runs audio; one writes parameters, bypasses and requests, swaps
// structures and reads meters; one records, looks at the scopes and writes to a bridge; one does the work of effects
// that a worker computes. Run under sanitizers, and with TWINRACK_TRAP, where memory and locks are trapped while audio
// runs.
//
//   storm [blocks]    exits with 1 and a sentence on NaN or infinity, or when something forbidden was called
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "engine/effect.h"
#include "engine/rack.h"
#include "given.h"
#include "live/bridge.h"
#include "live/mixer.h"

namespace {
thread_local bool on_audio_thread = false;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "storm: %s\n", what);
  std::_Exit(1);
}
}  // namespace

#ifdef TWINRACK_TRAP
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {
void trap(const char* what) {
  if (on_audio_thread) {
    on_audio_thread = false;
    fail(what);
  }
}
template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void __libc_free(void*);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* malloc(std::size_t size) noexcept {
  trap("malloc on the audio thread");
  return __libc_malloc(size);
}
void free(void* memory) noexcept {
  trap("free on the audio thread");
  __libc_free(memory);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  trap("calloc on the audio thread");
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  trap("realloc on the audio thread");
  return __libc_realloc(memory, size);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  trap("pthread_mutex_lock on the audio thread");
  static const auto next = real<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  return next(mutex);
}
// The C functions that reach the system and that the engine could call, directly or through a library.
#define TWINRACK_TRAPPED(result, name, parameters, arguments)   \
  result name parameters {                                      \
    trap(#name " on the audio thread");                         \
    static const auto next = real<result(*) parameters>(#name); \
    return next arguments;                                      \
  }
TWINRACK_TRAPPED(ssize_t, write, (int file, const void* from, std::size_t size), (file, from, size))
TWINRACK_TRAPPED(ssize_t, read, (int file, void* to, std::size_t size), (file, to, size))
TWINRACK_TRAPPED(int, close, (int file), (file))
TWINRACK_TRAPPED(int, munmap, (void* at, std::size_t size), (at, size))
TWINRACK_TRAPPED(int, madvise, (void* at, std::size_t size, int what), (at, size, what))
TWINRACK_TRAPPED(int, nanosleep, (const timespec* time, timespec* left), (time, left))
TWINRACK_TRAPPED(int, usleep, (useconds_t time), (time))
TWINRACK_TRAPPED(int, sched_yield, (), ())
TWINRACK_TRAPPED(int, pthread_cond_signal, (pthread_cond_t * condition), (condition))
TWINRACK_TRAPPED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
TWINRACK_TRAPPED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
TWINRACK_TRAPPED(int, sem_wait, (sem_t * semaphore), (semaphore))
TWINRACK_TRAPPED(int, sem_post, (sem_t * semaphore), (semaphore))
int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  trap("pthread_cond_wait on the audio thread");
  static const auto next = real<int (*)(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait");
  return next(condition, mutex);
}
}
#endif

namespace {

using twinrack::EffectType;
using twinrack::Node;

Node random_effect(std::mt19937& random) {
  int count = 0;
  while (twinrack::all_effects()[count] != nullptr) ++count;
  const EffectType& type = *twinrack::all_effects()[std::uniform_int_distribution<>(0, count - 1)(random)];
  Node node;
  node.kind = Node::Kind::effect;
  node.effect = type.id;
  for (int i = 0; i < type.parameter_count; ++i) node.values.push_back(type.parameters[i].initial);
  node.resource = given::Maker(random).rows_for(type);
  return node;
}

// The worker side of effects that another thread computes.
class Workers {
 public:
  void add(std::shared_ptr<twinrack::WorkerEffect> worker) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(worker));
  }
  void work() {
    std::vector<std::shared_ptr<twinrack::WorkerEffect>> now;
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(all_, [](const auto& w) { return w->detached(); });
      now = all_;
    }
    for (const auto& worker : now) {
      std::vector<float> x(static_cast<std::size_t>(worker->channels() * worker->block()));
      if (!worker->fetch(x.data())) continue;
      for (float& v : x) v = -v;
      x.size() % 7 == 0 ? worker->discard() : worker->deliver(x.data());
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<twinrack::WorkerEffect>> all_;
};

Workers workers;

Node random_worker_effect(std::mt19937& random) {
  Node node;
  node.kind = Node::Kind::effect;
  node.effect = "python";
  const int block = std::uniform_int_distribution<>(32, 600)(random);
  node.worker = std::make_shared<twinrack::WorkerEffect>(2, block, 2);
  workers.add(node.worker);
  return node;
}

// A chain of a few effects with one pair of branches.
Node random_rack(std::mt19937& random) {
  Node root, parallel;
  parallel.kind = Node::Kind::parallel;
  for (int branch = 0; branch < 2; ++branch) {
    Node chain;
    chain.children = {random_effect(random)};
    parallel.children.push_back(chain);
  }
  root.children = {random_effect(random), random_effect(random), parallel, random_effect(random)};
  if (random() % 3 == 0) root.children.push_back(random_worker_effect(random));
  int parameters = 0;
  given::drive_some(root, parameters, given::parameters_of(root), random);
  return root;
}

}  // namespace

int main(int argc, char** argv) {
  const long blocks = argc > 1 ? std::atol(argv[1]) : 20000;
  std::mt19937 random(1);
  const twinrack::Format format{48000.0, 2};
  const auto first = std::make_shared<twinrack::Rack>(random_rack(random), format);
  const auto second = std::make_shared<twinrack::Rack>(random_rack(random), format);
  twinrack::Rack& rack = *first;
  twinrack::live::Mixer mixer({{first, {0, 1}, {}, {0, 1}}, {second, {1, -1}, {}, {1, 0}}}, 2, 2, 48000.0);
  mixer.record_into(1);
  mixer.keep_history(true);
  rack.keep_history(true);
  mixer.set_control(twinrack::live::MixerControl::fade, 0, 1.0f);
  twinrack::live::Bridge bridge(1, 48000.0, 48000.0, 1024);
  std::atomic<bool> done{false};

  std::thread recorder([&] {
    std::vector<float> record(4 * 1000), block(480);
    while (!done.load()) {
      mixer.read_record(record.data(), 1000);
      if (!std::isfinite(mixer.scope(0, true).last(1024).back())) fail("a scope holds NaN or infinity");
      bridge.write(block.data(), 480);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  std::thread worker([&] {
    while (!done.load()) {
      workers.work();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  });

  std::thread writer([&] {
    std::mt19937 r(2);
    long n = 0;
    while (!done.load()) {
      const int parameters = rack.parameter_count();
      const float value = std::uniform_real_distribution<float>(-100.0f, 1000.0f)(r);
      rack.set_parameter(std::uniform_int_distribution<>(0, parameters - 1)(r), value);
      rack.set_bypass(std::uniform_int_distribution<>(0, 4)(r), n % 2 == 0);
      if (++n % 200 == 0) rack.swap(random_rack(r));
      if (n % 400 == 0) {  // most of these only wait, and take in what is set meanwhile
        for (int i = 0; i < 8; ++i) {
          rack.swap(random_rack(r));
          rack.set_parameter(0, value);
          rack.set_bypass(1, i % 2 == 0);
        }
      }
      const auto control = static_cast<twinrack::live::MixerControl>(std::uniform_int_distribution<>(0, 8)(r));
      mixer.set_control(control, std::uniform_int_distribution<>(0, 1)(r),
                        std::uniform_real_distribution<float>(0.0f, 1.0f)(r));
      twinrack::AppliedChange applied{};
      while (mixer.pop_history(applied) || rack.pop_history(applied)) {
      }
      mixer.output_state();
      for (const auto& meter : rack.meters()) {
        if (std::isnan(meter.peak_out)) fail("a meter is not a number");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });

  std::vector<float> memory(5 * 512);
  std::uint32_t state = 1;
  const auto noise = [&state] {  // no library call on the audio thread
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f;
  };
  const int sizes[] = {1, 17, 64, 128, 333, 512};
  for (long block = 0; block < blocks; ++block) {
    const int frames = sizes[block % 6];
    float* channel[2] = {memory.data(), memory.data() + 512};
    for (float* x : channel) {
      for (int n = 0; n < frames; ++n) x[n] = 0.3f * noise();
    }
    if (block % 97 == 0) channel[0][0] = std::numeric_limits<float>::quiet_NaN();
    if (block % 101 == 0) channel[1][0] = std::numeric_limits<float>::infinity();
    if (block % 103 == 0) channel[1][0] = 3e38f;
    float* out[2] = {memory.data() + 2 * 512, memory.data() + 3 * 512};
    float* other = memory.data() + 4 * 512;
    on_audio_thread = true;
    mixer.process(channel, out, frames);
    bridge.read(&other, frames);
    on_audio_thread = false;
    for (const float* x : out) {
      for (int n = 0; n < frames; ++n) {
        if (!std::isfinite(x[n])) fail("NaN or infinity came out");
      }
    }
  }
  done = true;
  writer.join();
  recorder.join();
  worker.join();
  std::printf("storm: %ld blocks, nothing forbidden\n", blocks);
  return 0;
}
