// The largest and the mean of the last so many numbers, one result for each number, in constant time.
//
// Both give the same whatever the blocks: the maximum works on an own grid of 16 frames; the mean keeps a sum of
// numbers that are multiples of 2^-18, which double precision adds and takes away without any error, so nothing drifts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class SlidingMax {
 public:
  static constexpr int shortest = 17;

  void prepare(int longest) {
    chunks_ = longest / chunk + 3;
    suffix_.assign(static_cast<std::size_t>(chunks_) * chunk, 0.0f);
    reset();
  }
  void reset() noexcept TR_RT {
    std::fill(suffix_.begin(), suffix_.end(), 0.0f);
    filled_ = now_ = 0;
    prefix_ = middle_ = 0.0f;
    find_middle();
  }
  void set(int window) noexcept TR_RT {
    if (window == window_) return;
    window_ = std::max(window, shortest);
    find_middle();
  }

  // To go on as another one does, of the same length.
  void follow(const SlidingMax& other) noexcept TR_RT {
    std::copy(other.suffix_.begin(), other.suffix_.end(), suffix_.begin());
    window_ = other.window_;
    first_ago_ = other.first_ago_;
    now_ = other.now_;
    filled_ = other.filled_;
    prefix_ = other.prefix_;
    middle_ = other.middle_;
  }

  // In place; numbers are not negative.
  void process(float* x, int frames) noexcept TR_RT {
    for (int n = 0; n < frames;) {
      // The window begins in a chunk of which it covers less and less, then in the next one.
      const int into = filled_ - window_ + 1 + first_ago_ * chunk;
      const bool first = into < chunk;
      const float* oldest = first ? at(first_ago_) + into : at(first_ago_ - 1) + into - chunk;
      const float whole = first && first_ago_ > 1 ? std::max(middle_, at(first_ago_ - 1)[0]) : middle_;
      const int count = std::min({frames - n, chunk - filled_, first ? chunk - into : chunk});
      float* mine = suffix_.data() + now_ * chunk + filled_;
      float prefix = prefix_;
      for (int i = 0; i < count; ++i) {
        const float now = x[n + i];
        mine[i] = now;
        prefix = prefix > now ? prefix : now;
        const float covered = whole > oldest[i] ? whole : oldest[i];
        x[n + i] = prefix > covered ? prefix : covered;
      }
      prefix_ = prefix;
      filled_ += count;
      n += count;
      if (filled_ == chunk) next_chunk();
    }
  }

  // True when all of the window is below.
  bool below(float level) const noexcept TR_RT {
    float most = prefix_;
    for (const float x : suffix_) most = std::max(most, x);
    return most <= level;
  }

  void state(StateArchive& archive) {
    archive(suffix_, prefix_, middle_);
    archive.bounded(now_, 0, chunks_ - 1);
    archive.bounded(filled_, 0, chunk - 1);
  }

 private:
  static constexpr int chunk = shortest - 1;

  const float* at(int chunks_ago) const noexcept TR_RT {
    int which = now_ - chunks_ago;
    if (which < 0) which += chunks_;
    return suffix_.data() + which * chunk;
  }
  // A chunk is over: its numbers become the maxima from each of them to its end.
  void next_chunk() noexcept TR_RT {
    float* mine = suffix_.data() + now_ * chunk;
    for (int i = chunk - 2; i >= 0; --i) mine[i] = std::max(mine[i], mine[i + 1]);
    now_ = now_ + 1 == chunks_ ? 0 : now_ + 1;
    filled_ = 0;
    prefix_ = 0.0f;
    find_middle();
  }
  // The chunks that the window covers whole, for all of this chunk's frames.
  void find_middle() noexcept TR_RT {
    middle_ = 0.0f;
    first_ago_ = (chunk - 2 + window_) / chunk;
    for (int ago = 1; ago <= first_ago_ - 2; ++ago) middle_ = std::max(middle_, at(ago)[0]);
  }

  std::vector<float> suffix_ = std::vector<float>(4 * chunk, 0.0f);
  int chunks_ = 4, window_ = chunk + 1, first_ago_ = 1, now_ = 0, filled_ = 0;
  float prefix_ = 0, middle_ = 0;
};

class SlidingMean {
 public:
  static double quantised(float x) noexcept TR_RT {
    constexpr double magic = 1.5 * 17179869184.0;  // 2^34: the sum has 18 binary places
    return static_cast<double>(x) + magic - magic;
  }

  void prepare(int longest) {
    ring_.assign(static_cast<std::size_t>(longest), 0.0);
    reset();
  }
  void reset() noexcept TR_RT {
    std::fill(ring_.begin(), ring_.end(), 0.0);
    at_ = 0;
    sum_ = 0.0;
  }
  void set(int window) noexcept TR_RT {
    if (window == window_) return;
    window_ = window;
    scale_ = 1.0 / window;
    sum_ = 0.0;
    for (int ago = 1; ago <= window; ++ago) sum_ += ring_[index(at_ - ago)];
  }

  void follow(const SlidingMean& other) noexcept TR_RT {
    std::copy(other.ring_.begin(), other.ring_.end(), ring_.begin());
    window_ = other.window_;
    at_ = other.at_;
    sum_ = other.sum_;
    scale_ = other.scale_;
  }

  // A piece of the way on which nothing wraps around: so many frames, one step for each, and then the end of it.
  class Piece {
   public:
    float step(float x) noexcept TR_RT {
      const double enters = quantised(x);
      sum_ += enters - *leaving_++;
      *entering_++ = enters;
      return static_cast<float>(sum_ * scale_);
    }

   private:
    friend class SlidingMean;
    double* entering_;
    const double* leaving_;
    double sum_, scale_;
  };
  int piece() const noexcept TR_RT { return std::min(size() - at_, size() - leaves()); }
  Piece begin() noexcept TR_RT {
    Piece piece;
    piece.entering_ = ring_.data() + at_;
    piece.leaving_ = ring_.data() + leaves();
    piece.sum_ = sum_;
    piece.scale_ = scale_;
    return piece;
  }
  void end(const Piece& piece, int frames) noexcept TR_RT {
    sum_ = piece.sum_;
    at_ = at_ + frames == size() ? 0 : at_ + frames;
  }

  void state(StateArchive& archive) {
    archive(ring_, sum_);
    archive.bounded(at_, 0, size() - 1);
  }

 private:
  int size() const noexcept TR_RT { return static_cast<int>(ring_.size()); }
  int leaves() const noexcept TR_RT { return at_ - window_ < 0 ? at_ - window_ + size() : at_ - window_; }
  std::size_t index(int at) const noexcept TR_RT { return static_cast<std::size_t>(at < 0 ? at + size() : at); }

  std::vector<double> ring_ = std::vector<double>(1, 0.0);
  int window_ = 1, at_ = 0;
  double sum_ = 0, scale_ = 1;
};

}  // namespace twinrack
