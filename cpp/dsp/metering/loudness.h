// Loudness and peaks of a whole programme: Rec. ITU-R BS.1770-4. Each channel goes through the K weighting (a shelf for
// the head and a low cut, as biquads in double precision), and the power of every hundredth of a second is stored, from
// which gates and windows are computed later. The true peak is the largest between the samples too (annex 2). NaN and
// infinity count as silence, as in a rack, and are counted.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "dsp/metering/k_weighting.h"
#include "dsp/metering/true_peak.h"
#include "rt/block.h"

namespace twinrack {

class LoudnessMeter {
 public:
  LoudnessMeter(double sample_rate, int channels)
      : weighting_(sample_rate), tenth_(static_cast<int>((sample_rate + 5.0) / 10.0)) {
    channels_.resize(static_cast<std::size_t>(channels));
  }

  void process(const float* const* x, int frames) {
    for (int start = 0; start < frames;) {
      const int count = std::min(frames - start, tenth_ - filled_);
      for (std::size_t c = 0; c < channels_.size(); ++c) {
        append(channels_[c], x[c] + start, count);
        add_power(channels_[c], weight(c), count);
        update_true_peak(channels_[c], count);
      }
      filled_ += count;
      start += count;
      for (; full_ < parts && filled_ >= (full_ + 1) * tenth_ / parts; ++full_) {
        double& sum = sums_[static_cast<std::size_t>(full_)];
        powers_.push_back(std::exchange(sum, 0.0) * parts / tenth_);
      }
      if (filled_ == tenth_) filled_ = full_ = 0;
    }
  }

  // The mean power of all channels, weighted, of every hundredth of a second; those of a full tenth. A hundredth that
  // is not an integer number of frames is one shorter or longer, so that ten of them always last the tenth that BS.1770
  // steps by.
  const std::vector<double>& powers() const noexcept { return powers_; }
  int channels() const noexcept { return static_cast<int>(channels_.size()); }
  // Samples that were NaN or infinite.
  std::int64_t faults() const noexcept { return faults_; }
  float peak() const noexcept { return largest(&Channel::peak); }
  // Over what lies between samples too; the last few frames are still to come.
  float true_peak() const noexcept { return std::max(largest(&Channel::true_peak), peak()); }

 private:
  static constexpr int parts = 10, past = true_peak_taps - 1;

  struct Channel {
    KWeighting::State state{};
    std::array<float, true_peak_taps> past{};  // the last inputs
    float peak = 0.0f, true_peak = 0.0f;
  };

  // Surround channels count 1.41 times, a low-frequency channel not at all; all others alike.
  double weight(std::size_t c) const noexcept {
    const std::size_t count = channels_.size();
    if (count == 5) return c >= 3 ? 1.41 : 1.0;
    if (count == 6) return c == 3 ? 0.0 : c >= 4 ? 1.41 : 1.0;
    return 1.0;
  }

  float largest(float Channel::* what) const noexcept {
    float most = 0.0f;
    for (const Channel& channel : channels_) most = std::max(most, channel.*what);
    return most;
  }

  // The next frames behind the last ones, into `line_`.
  void append(Channel& channel, const float* x, int frames) {
    line_.resize(static_cast<std::size_t>(past + frames));
    std::copy_n(channel.past.begin(), past, line_.begin());
    for (int n = 0; n < frames; ++n) {
      const bool sound = std::isfinite(x[n]);
      line_[static_cast<std::size_t>(past + n)] = sound ? x[n] : 0.0f;
      faults_ += sound ? 0 : 1;
    }
  }

  // Adds the squares after the weighting to the hundredths that they lie in.
  void add_power(Channel& channel, double weight, int frames) {
    float peak = channel.peak;
    const float* x = line_.data() + past;
    for (int n = 0; n < frames;) {
      const auto part = static_cast<std::size_t>(((filled_ + n + 1) * parts - 1) / tenth_);
      const int end = std::min(frames, (static_cast<int>(part) + 1) * tenth_ / parts - filled_);
      sums_[part] += weight * weighting_.energy(x + n, end - n, channel.state);
      for (; n < end; ++n) peak = std::max(peak, std::abs(x[n]));
    }
    channel.peak = peak;
  }

  void update_true_peak(Channel& channel, int frames) {
    constexpr int look = 64;
    float most = channel.true_peak;
    for (int n = 0; n < frames; ++n) {
      if (n % look == 0) {  // nothing in between can be larger than this many times what is around it
        constexpr float largest_sum = 2.03f;
        float around = 0.0f;
        for (int i = n; i < std::min(n + look, frames) + past; ++i)
          around = std::max(around, std::abs(line_[static_cast<std::size_t>(i)]));
        if (around * largest_sum <= most) {
          n += look - 1;
          continue;
        }
      }
      const float* at = line_.data() + n;
      float sums[4] = {};
      for (std::size_t k = 0; k < true_peak_taps; ++k) {
        const float newest = at[past - static_cast<int>(k)], oldest = at[k];
        sums[0] += true_peak_phases[0][k] * newest;
        sums[1] += true_peak_phases[1][k] * newest;
        sums[2] += true_peak_phases[1][k] * oldest;
        sums[3] += true_peak_phases[0][k] * oldest;
      }
      for (const float sum : sums) most = std::max(most, std::abs(sum));
    }
    channel.true_peak = most;
    std::copy_n(line_.end() - past, past, channel.past.begin());
  }

  KWeighting weighting_;
  int tenth_, filled_ = 0, full_ = 0;
  std::array<double, parts> sums_{};  // of the hundredths of the tenth that is not full yet
  std::int64_t faults_ = 0;
  std::vector<Channel> channels_;
  std::vector<double> powers_;
  std::vector<float> line_;
};

}  // namespace twinrack
