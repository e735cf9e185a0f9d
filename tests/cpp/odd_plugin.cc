// An LV2 gain for tests that does one thing wrong, by MODE; 12 adds a sidechain, 13 reports its gain as its
// latency. Ports: in, out, gain, latency, key.
#include <lv2/core/lv2.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace {

struct Plugin {
  const float* in;
  float* out;
  const float* gain;
  float* latency;
  const float* key;
  float held = 0.0f;
  std::uint32_t noise = 1;
};

LV2_Handle instantiate(const LV2_Descriptor*, double, const char*, const LV2_Feature* const*) {
  if (MODE == 3) std::abort();
  if (MODE == 4) return nullptr;
  return new Plugin{};
}

void connect(LV2_Handle handle, std::uint32_t port, void* data) {
  auto* p = static_cast<Plugin*>(handle);
  if (port == 0) p->in = static_cast<const float*>(data);
  if (port == 1) p->out = static_cast<float*>(data);
  if (port == 2) p->gain = static_cast<const float*>(data);
  if (port == 3) p->latency = static_cast<float*>(data);
  if (port == 4) p->key = static_cast<const float*>(data);
}

void run(LV2_Handle handle, std::uint32_t frames) {
  auto* p = static_cast<Plugin*>(handle);
  if (MODE == 1) *reinterpret_cast<volatile int*>(8) = 1;
  if (MODE == 2) std::this_thread::sleep_for(std::chrono::hours(1));
  if (MODE == 5) {
    static void* volatile memory;
    memory = std::malloc(1 + frames % 7);
    std::free(memory);
  }
  if (MODE == 9) std::exit(0);
  if (MODE == 11 && p->in[0] > 0.9f) *reinterpret_cast<volatile int*>(8) = 1;
  const float gain = std::pow(10.0f, *p->gain / 20.0f);
  for (std::uint32_t n = 0; n < frames; ++n) {
    p->out[n] = gain * p->in[n];
    if (MODE == 12) p->out[n] += p->key[n];
    if (MODE == 6 && frames > 16) p->out[16] = NAN;
    if (MODE == 8)
      p->out[n] += 1e-3f * static_cast<float>(std::chrono::steady_clock::now().time_since_epoch().count() % 97);
    if (MODE == 10) p->out[n] = p->held = 0.5f * p->held + p->out[n];
  }
  *p->latency = MODE == 7 ? 100.0f : MODE == 13 ? std::fmax(*p->gain, 0.0f) : 0.0f;
}

const LV2_Descriptor descriptor{"urn:twinrack:test:odd",
                                instantiate,
                                connect,
                                nullptr,
                                run,
                                nullptr,
                                [](LV2_Handle handle) { delete static_cast<Plugin*>(handle); },
                                [](const char*) -> const void* { return nullptr; }};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LV2_Descriptor* lv2_descriptor(std::uint32_t index) {
  return index == 0 ? &descriptor : nullptr;
}
