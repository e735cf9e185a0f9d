#include "dsp/lanes/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/streams-inl.h"
#include "engine/kernels.h"
#include "rt/float_guard.h"
#include "rt/smoothstep.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// For a block shorter than a vector.
inline BlockLevel measure_short(const float* const* x, int channels, int frames) noexcept TR_RT {
  BlockLevel level{};
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) {
      const float now = std::abs(x[c][n]);
      level.peak = level.peak > now ? level.peak : now;
      level.power += now * now;
    }
  }
  return level;
}

// For a block whose power is NaN or infinity: a sample is, or samples are very large.
inline BlockLevel measure_samples(const float* const* x, int channels, int frames) noexcept TR_RT {
  BlockLevel level{.peak = 0.0f, .power = std::numeric_limits<float>::max(), .finite = true};
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) {
      const float now = std::abs(x[c][n]);
      level.finite = level.finite && std::isfinite(now);
      level.peak = std::isfinite(now) && now > level.peak ? now : level.peak;
    }
  }
  return level;
}

inline BlockLevel measure(const float* const* x, int channels, int frames) noexcept TR_RT {
  using D = Tag<float>;
  constexpr int lanes = lane_count<float>;
  const D d;
  BlockLevel level{};
  if (frames < lanes) {
    level = measure_short(x, channels, frames);
  } else {
    auto peak0 = hn::Zero(d), peak1 = peak0, power0 = peak0, power1 = peak0;
    const auto add = [&](Vec<float> a) HWY_ATTR {
      peak0 = hn::Max(peak0, hn::Abs(a));
      power0 = hn::MulAdd(a, a, power0);
    };
    for (int c = 0; c < channels; ++c) {
      int n = 0;
      for (; n + 2 * lanes <= frames; n += 2 * lanes) {
        add(hn::LoadU(d, x[c] + n));
        const auto b = hn::LoadU(d, x[c] + n + lanes);
        peak1 = hn::Max(peak1, hn::Abs(b));
        power1 = hn::MulAdd(b, b, power1);
      }
      for (; n < frames; n += lanes) add(load_some(x[c] + n, frames - n));
    }
    level.peak = hn::GetLane(hn::MaxOfLanes(d, hn::Max(peak0, peak1)));
    level.power = hn::GetLane(hn::SumOfLanes(d, power0 + power1));
  }
  return level.power <= std::numeric_limits<float>::max() ? level : measure_samples(x, channels, frames);
}

inline void crossfade(float* y, const float* dry, float position, float step, int frames) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) {
    const float now = position + step * static_cast<float>(n);
    const float low = now > 0.0f ? now : 0.0f, bounded = low < 1.0f ? low : 1.0f;
    const float mix = smoothstep(bounded);
    y[n] = (1.0f - mix) * dry[n] + mix * y[n];
  }
}

inline void add(float* HWY_RESTRICT y, const float* HWY_RESTRICT x, int frames) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) y[n] += x[n];
}

inline void add_pair(float* HWY_RESTRICT left, float* HWY_RESTRICT right, const float* HWY_RESTRICT x_left,
                     const float* HWY_RESTRICT x_right, const float* matrix, int frames) noexcept TR_RT {
  const float a = matrix[0], b = matrix[1], c = matrix[2], d = matrix[3];
  for (int n = 0; n < frames; ++n) {
    left[n] += a * x_left[n] + b * x_right[n];
    right[n] += c * x_left[n] + d * x_right[n];
  }
}

inline void flush(float* const* x, int channels, int frames) noexcept TR_RT {
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) x[c][n] = std::abs(x[c][n]) < nothing ? 0.0f : x[c][n];
  }
}

template <int bytes>
inline float sample_at(const unsigned char* x) noexcept TR_RT {
  std::uint32_t word = 0;
  for (int i = 0; i < bytes; ++i) word |= static_cast<std::uint32_t>(x[i]) << (8 * (4 - bytes + i));
  return static_cast<float>(static_cast<std::int32_t>(word)) * (1.0f / 2147483648.0f);
}

// Two channels of 24 bits, four frames at a time: each sample's bytes become the upper ones of a 32-bit word.
inline int unpack_stereo_24(const unsigned char* from, int frames, float* const* rows) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
  (void)from, (void)frames, (void)rows;
  return 0;
#else
  const hn::FixedTag<std::uint8_t, 16> bytes;
  const hn::FixedTag<std::int32_t, 4> integers;
  const hn::FixedTag<float, 4> floats;
  alignas(16) const std::uint8_t order[16] = {255, 0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11};
  const auto places = hn::Load(bytes, order);
  const auto step = hn::Set(floats, 1.0f / 2147483648.0f);
  int n = 0;
  for (; 6 * n + 28 <= 6 * frames; n += 4) {  // the second load ends four bytes after what it needs
    const unsigned char* x = from + 6 * n;
    const auto a = hn::TableLookupBytesOr0(hn::LoadU(bytes, x), places);
    const auto b = hn::TableLookupBytesOr0(hn::LoadU(bytes, x + 12), places);
    const auto first = hn::ConvertTo(floats, hn::BitCast(integers, a)) * step;
    const auto second = hn::ConvertTo(floats, hn::BitCast(integers, b)) * step;
    hn::StoreU(hn::ConcatEven(floats, second, first), floats, rows[0] + n);
    hn::StoreU(hn::ConcatOdd(floats, second, first), floats, rows[1] + n);
  }
  return n;
#endif
}

template <int bytes>
inline void unpack_integers(const unsigned char* from, int first, int channels, int frames,
                            float* const* rows) noexcept TR_RT {
  for (int n = first; n < frames; ++n) {
    const unsigned char* x = from + static_cast<std::ptrdiff_t>(n) * channels * bytes;
    for (int c = 0; c < channels; ++c) rows[c][n] = sample_at<bytes>(x + c * bytes);
  }
}

inline void unpack(const unsigned char* from, int bytes, int channels, int frames, float* const* rows) noexcept TR_RT {
  if (bytes == 2) return unpack_integers<2>(from, 0, channels, frames, rows);
  if (bytes == 3) {
    const int done = channels == 2 ? unpack_stereo_24(from, frames, rows) : 0;
    return unpack_integers<3>(from, done, channels, frames, rows);
  }
  if (bytes == 4) return unpack_integers<4>(from, 0, channels, frames, rows);
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) {
      std::memcpy(rows[c] + n, from + sizeof(float) * static_cast<std::size_t>(n * channels + c), sizeof(float));
    }
  }
}

inline void measure_streams(const StreamBlock& x, float* peaks) noexcept TR_RT {
  StreamPeaks all;
  for (int c = 0; c < x.channels; ++c) {
    for (int n = 0; n < x.frames; ++n) all.add(load_streams(x.channel[c], n));
  }
  all.store(peaks);
}

inline void finish_past_caches() noexcept TR_RT { hwy::FlushStream(); }

const Kernels* kernel_table() {
  static const Kernels table{measure,
                             crossfade,
                             add,
                             add_pair,
                             flush,
                             stream_lanes,
                             to_streams,
                             from_streams<false>,
                             from_streams<true>,
                             finish_past_caches,
                             measure_streams,
                             unpack};
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {
HWY_EXPORT(kernel_table);
const Kernels& kernels() {
  static const Kernels& chosen = *HWY_DYNAMIC_DISPATCH(kernel_table)();
  return chosen;
}

int first_fault(const float* x, int frames) noexcept TR_RT {
  int n = 0;
  while (n < frames && std::isfinite(x[n])) ++n;
  return n;
}
}  // namespace twinrack
#endif
