// Every effect under hostile settings and signals: random values of all parameters, also at their ends and changing
// while it sounds, any rate and channels; noise, clicks, full scale and far above, denormal numbers, NaN and infinity,
// silence.
//
//   hostile [signals]    for each effect; exits with 1 and a sentence when NaN or infinity comes out, when the output
//                        grows without bound, or when an effect failed and nobody was told
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/effect.h"
#include "engine/rack.h"
#include "given.h"

namespace {

using twinrack::EffectType;
using twinrack::Node;
using twinrack::Parameter;
using twinrack::Scale;

struct Dice {
  std::mt19937 engine;
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine); }
  int below(int count) { return std::uniform_int_distribution<>(0, count - 1)(engine); }
};

float value_of(const Parameter& p, Dice& dice) {
  if (p.scale == Scale::step) return static_cast<float>(dice.below(static_cast<int>(p.max) + 1));
  switch (dice.below(4)) {
    case 0:
      return p.min;
    case 1:
      return p.max;
    default:
      return p.scale == Scale::log ? p.min * std::pow(p.max / p.min, dice.uniform(0.0f, 1.0f))
                                   : dice.uniform(p.min, p.max);
  }
}

// Kept in range of what 200 dB of gain in all could make of it.
float sample(int kind, float size, Dice& dice) {
  switch (kind) {
    case 0:
      return size * dice.uniform(-1.0f, 1.0f);
    case 1:
      return dice.below(97) == 0 ? size : 0.0f;
    case 2:
      return dice.below(2) == 0 ? size : -size;
    case 3:
      return 1e-41f * dice.uniform(-1.0f, 1.0f);
    case 4:
      return dice.below(61) == 0 ? std::numeric_limits<float>::quiet_NaN() : size * dice.uniform(-1.0f, 1.0f);
    case 5:
      return dice.below(61) == 0 ? std::numeric_limits<float>::infinity() : size * dice.uniform(-1.0f, 1.0f);
    default:
      return 0.0f;
  }
}

int fail(const EffectType& type, long signal, const char* what) {
  std::fprintf(stderr, "hostile: %s, signal %ld: %s\n", type.id, signal, what);
  return 1;
}

int run(const EffectType& type, long signals) {
  constexpr double rates[] = {8000, 11025, 44100, 48000, 96000, 192000};
  constexpr float sizes[] = {1e-30f, 1e-6f, 0.1f, 1.0f, 1e4f, 1e15f, 1e38f};
  Dice dice{std::mt19937(7)};
  std::vector<std::vector<float>> memory(16, std::vector<float>(300));
  long done = 0, faults = 0;
  while (done < signals) {
    Node effect, root;
    effect.kind = Node::Kind::effect;
    effect.effect = type.id;
    for (int i = 0; i < type.parameter_count; ++i) effect.values.push_back(value_of(type.parameters[i], dice));
    const int channels = 1 + dice.below(16);
    effect.resource = given::Maker(dice.engine).rows_for(type);
    root.children = {effect};
    twinrack::Rack rack(root, {rates[dice.below(6)], channels});
    float loudest = 1e-30f;  // of all that went in or came out
    for (int turn = 0; turn < 200 && done < signals; ++turn, ++done) {
      for (int i = 0; i < type.parameter_count; ++i) {
        if (dice.below(8) == 0) rack.set_parameter(i, value_of(type.parameters[i], dice));
      }
      const int kind = dice.below(7), frames = 1 + dice.below(300);
      const float size = sizes[dice.below(7)];
      float* channel[16];
      for (int c = 0; c < channels; ++c) {
        channel[c] = memory[static_cast<std::size_t>(c)].data();
        for (int n = 0; n < frames; ++n) channel[c][n] = sample(kind, size, dice);
      }
      loudest = std::max(loudest, kind == 3 || kind == 6 ? 0.0f : size);
      rack.process(channel, nullptr, frames);
      for (int c = 0; c < channels; ++c) {
        for (int n = 0; n < frames; ++n) {
          if (!std::isfinite(channel[c][n])) return fail(type, done, "NaN or infinity came out");
          loudest = std::max(loudest, std::abs(channel[c][n]));
        }
      }
    }
    faults += rack.meters().front().faults;
    // Nothing grows by itself: in silence comes at most what loud sound left, if late.
    for (int part = 0; part < 20; ++part) {
      float* channel[16];
      for (int c = 0; c < channels; ++c) {
        channel[c] = memory[static_cast<std::size_t>(c)].data();
        std::fill_n(channel[c], 300, 0.0f);
      }
      rack.process(channel, nullptr, 300);
      for (int c = 0; c < channels; ++c) {
        for (int n = 0; n < 300; ++n) {
          if (std::abs(channel[c][n]) > 1e3f * loudest) return fail(type, done, "it grows in silence");
        }
      }
    }
  }
  std::printf("hostile: %s, %ld signals, all finite; %ld faults, all counted\n", type.id, signals, faults);
  std::fflush(stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const long signals = argc > 1 ? std::atol(argv[1]) : 5000;
  for (const EffectType* const* type = twinrack::all_effects(); *type != nullptr; ++type) {
    if (run(**type, signals) != 0) return 1;
  }
  return 0;
}
