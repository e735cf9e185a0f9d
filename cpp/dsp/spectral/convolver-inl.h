// Convolution with a long response, without latency, for blocks of any size (W. G. Gardner, Efficient convolution
// without input-output delay, JAES 43(3), 1995).
//
// The first `head` coefficients are computed directly. The rest is cut into levels of parts: parts of 64 first, then
// of 512, 4096, 32768. A level of parts of B begins at 2 B, so the transform of a finished block of B frames has the
// time of another B frames to be done: it is cut into as many slices of equal cost as there are slots of 64 frames, and
// every slot does one slice of each level. No block is much dearer than another, and no helper thread is needed.
//
// A real block of 2 B is transformed as B complex numbers: modulo z^B - i, a product of real polynomials modulo z^2B +
// 1 is all there. It wraps around with the sign changed, which overlap-save throws away as it does without.
#if defined(TWINRACK_DSP_SPECTRAL_CONVOLVER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SPECTRAL_CONVOLVER_INL_H_
#undef TWINRACK_DSP_SPECTRAL_CONVOLVER_INL_H_
#else
#define TWINRACK_DSP_SPECTRAL_CONVOLVER_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <type_traits>
#include <vector>

#include "dsp/delay/delay.h"
#include "dsp/spectral/fft-inl.h"
#include "dsp/lanes/aligned_row.h"
#include "dsp/lanes/lane-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// A path from an input to an output, with its coefficients.
struct ConvolverPath {
  int from, to;
  const float* response;
};

class Convolver {
 public:
  static constexpr int slot = Fft::shortest, head = 2 * slot, growth = 8, longest_part = 32768;

  // `frames` coefficients on every path.
  void prepare(int channels, const std::vector<ConvolverPath>& paths, int frames) {
    channels_ = channels;
    heads_.clear();
    for (const ConvolverPath& path : paths) {
      heads_.push_back({path.from, path.to, std::vector<float>(head, 0.0f)});
      std::copy_n(path.response, std::min(frames, head), heads_.back().response.begin());
    }
    head_taps_ = std::min(frames, head);
    levels_.clear();
    int part = slot, done = head;
    while (done < frames) {
      // Larger parts from where they can begin, where that spares more than a few of these.
      const int next = part * growth;
      const bool more = next <= longest_part && frames > 2 * next + 2 * part;
      const int end = more ? 2 * next : frames;
      levels_.emplace_back();
      levels_.back().prepare(channels, paths, part, done, end - done, frames);
      done = end;
      part = next;
    }
    const int largest = levels_.empty() ? slot : levels_.back().part();
    ring_ = 4 * largest;
    input_.assign(static_cast<std::size_t>(channels), AlignedRow(static_cast<std::size_t>(ring_)));
    recent_.assign(static_cast<std::size_t>(channels), DelayLine());
    for (auto& line : recent_) line.prepare(head, max_segment + head);  // read from the oldest in one go
    reset();
  }

  // Frames, besides the response's own length, after which a sound has left the memory.
  int memory() const noexcept TR_RT { return ring_ + head; }

  // The past is made invalid by counting, instead of clearing megabytes.
  void reset() noexcept TR_RT {
    for (auto& line : recent_) line.reset();
    for (Level& level : levels_) level.reset();
    at_ = 0;
  }

  // `x` and `y` may be the same.
  void process(const float* const* x, float* const* y, int frames) noexcept TR_RT {
    for (int c = 0; c < channels_; ++c) recent_[static_cast<std::size_t>(c)].write(x[c], frames);
    for (int start = 0; start < frames;) {
      const int count = std::min(frames - start, slot - at_ % slot);
      for (int c = 0; c < channels_; ++c) {
        std::memcpy(input_[static_cast<std::size_t>(c)].data() + at_, x[c] + start, bytes(count));
      }
      for (int c = 0; c < channels_; ++c) {
        bool first = true;
        for (const Level& level : levels_) {
          const float* tail = level.output(c, at_);
          if (tail == nullptr) continue;
          float* to = y[c] + start;
          if (first) {
            std::memcpy(to, tail, bytes(count));
          } else {
            for (int n = 0; n < count; ++n) to[n] += tail[n];
          }
          first = false;
        }
        if (first) std::memset(y[c] + start, 0, bytes(count));
      }
      at_ += count;
      start += count;
      if (at_ % slot == 0) {
        if (at_ == ring_) at_ = 0;
        for (Level& level : levels_) level.work(input_, at_, ring_);
      }
    }
    for (const Head& h : heads_) direct(h, y[h.to], frames);
  }

  void state(StateArchive& archive) {
    archive.bounded(at_, 0, ring_ - 1);
    archive(input_, recent_);
    for (Level& level : levels_) level.state(archive, ring_);
  }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  using Channels = std::vector<AlignedRow>;

  static std::size_t bytes(int frames) noexcept TR_RT { return sizeof(float) * static_cast<std::size_t>(frames); }

  struct Head {
    int from, to;
    std::vector<float> response;
  };

  // Added to y. Of 64 coefficients every eighth one comes after the other, as the vectors that they need are those of
  // the frames before; eight sums at a time, as a multiply-add waits for the last one into the same sum.
  void direct(const Head& h, float* y, int frames) const noexcept TR_RT {
    const D d;
    constexpr int group = 64, step = 8, turns = group / step;
    static_assert(head % group == 0);
    const float* newest = recent_[static_cast<std::size_t>(h.from)].written(frames, head - 1) + head - 1;
    const float* taps = h.response.data();
    const auto some = [&](int n, auto vectors, float* to) HWY_ATTR {
      V sum[vectors.value];
      for (V& s : sum) s = hn::Zero(d);
      for (int begin = 0; begin < head_taps_; begin += group) {
        for (int first = begin; first < begin + step; ++first) {
          const float* x = newest + n - first;
          for (int turn = 0; turn < turns; ++turn) {
            const V tap = hn::Set(d, taps[first + step * turn]);
            for (int i = 0; i < vectors.value; ++i) {
              sum[i] = hn::MulAdd(tap, hn::LoadU(d, x + i * lanes - step * turn), sum[i]);
            }
          }
        }
      }
      for (int i = 0; i < vectors.value; ++i) {
        hn::StoreU(hn::LoadU(d, to + i * lanes) + sum[i], d, to + i * lanes);
      }
    };
    int n = 0;
    for (; n + 8 * lanes <= frames; n += 8 * lanes) some(n, std::integral_constant<int, 8>{}, y + n);
    if (n + 4 * lanes <= frames) {
      some(n, std::integral_constant<int, 4>{}, y + n);
      n += 4 * lanes;
    }
    for (; n + lanes <= frames; n += lanes) some(n, std::integral_constant<int, 1>{}, y + n);
    if (n == frames) return;
    alignas(32) float last[lanes] = {};
    std::copy_n(y + n, frames - n, last);
    some(n, std::integral_constant<int, 1>{}, last);
    std::copy_n(last, frames - n, y + n);
  }

  // Parts of one length.
  class Level {
   public:
    int part() const noexcept TR_RT { return part_; }

    void prepare(int channels, const std::vector<ConvolverPath>& paths, int part, int begin, int length, int frames) {
      part_ = part;
      parts_ = (length + part - 1) / part;
      vectors_ = part / lanes;
      fft_.prepare(part);
      const auto size = static_cast<std::size_t>(part);
      weight_re_ = weight_im_ = AlignedRow(size);
      for (int n = 0; n < part; ++n) {
        const double angle = 0.5 * std::numbers::pi * n / part;
        weight_re_.data()[n] = static_cast<float>(std::cos(angle));
        weight_im_.data()[n] = static_cast<float>(std::sin(angle));
      }
      work_ = AlignedRow(2 * size);
      const std::size_t spectrum = static_cast<std::size_t>(parts_) * static_cast<std::size_t>(vectors_);
      spectra_.assign(static_cast<std::size_t>(channels), Spectra(spectrum));
      for (auto* out : {&now_, &next_}) out->assign(static_cast<std::size_t>(channels), AlignedRow(size));
      responses_.clear();
      paths_.assign(static_cast<std::size_t>(channels), {});
      for (const ConvolverPath& path : paths) {
        std::size_t shared = 0;  // paths with the same coefficients share them
        while (shared < responses_.size() && responses_[shared].from != path.response) ++shared;
        if (shared == responses_.size()) {
          responses_.push_back({path.response, Spectra(spectrum)});
          transform(path.response + begin, std::min(length, frames - begin), responses_.back().spectrum);
        }
        paths_[static_cast<std::size_t>(path.to)].push_back({path.from, shared});
      }
      plan(channels);
      reset();
    }

    void reset() noexcept TR_RT {
      valid_ = 0;
      newest_ = 0;
      done_ = units_.size();
      has_now_ = has_next_ = false;
    }

    // The output from a place in the ring on; null while there is none.
    const float* output(int channel, int at) const noexcept TR_RT {
      return has_now_ ? now_[static_cast<std::size_t>(channel)].data() + at % part_ : nullptr;
    }

    // At the end of every slot; `at` is the place in the ring of the next frame.
    void work(const Channels& input, int at, int ring) noexcept TR_RT {
      const int slots = part_ / slot, which = at / slot % slots;
      if (which == 0) {  // a block is complete: its work begins, and the last one's ends
        while (done_ < units_.size()) run(units_[done_++], input, ring);
        std::swap(now_, next_);
        has_now_ = has_next_;
        has_next_ = true;
        newest_ = newest_ + 1 >= parts_ ? 0 : newest_ + 1;
        valid_ = std::min(valid_ + 1, parts_ + 1);
        begins_ = at - 2 * part_ < 0 ? at - 2 * part_ + ring : at - 2 * part_;
        done_ = 0;
      }
      const std::size_t until = slices_[static_cast<std::size_t>(which)];
      while (done_ < until) run(units_[done_++], input, ring);
    }

    void state(StateArchive& archive, int ring) {
      archive(work_, spectra_, now_, next_, has_now_, has_next_);
      archive.bounded(done_, 0, units_.size());
      archive.bounded(newest_, 0, parts_ - 1);
      archive.bounded(valid_, 0, parts_ + 1);
      int block = begins_ / part_;
      archive.bounded(block, 0, ring / part_ - 1);
      begins_ = block * part_;
    }

   private:
    enum class Kind { load, forward, store, multiply, backward, output };
    struct Unit {
      Kind kind;
      int channel, pass, first, last;
      double cost;
    };
    // A vector of frequencies, in one line of the cache.
    struct alignas(2 * sizeof(float) * lanes) Bins {
      float re[lanes], im[lanes];
    };
    using Spectra = std::vector<Bins>;
    struct Response {
      const float* from;
      Spectra spectrum;
    };
    struct Source {
      int channel;
      std::size_t response;
    };

    // Spectra lie vector by vector, and for each vector part by part, so a sum over the parts reads memory in one go.
    Bins* place(Spectra& spectra, int vector, int part) const noexcept TR_RT {
      return spectra.data() + static_cast<std::ptrdiff_t>(vector) * parts_ + part;
    }

    void transform(const float* response, int count, Spectra& spectra) const {
      std::vector<float> re(static_cast<std::size_t>(part_)), im(re);
      const float scale = 1.0f / static_cast<float>(part_);
      for (int part = 0; part < parts_; ++part) {
        for (int n = 0; n < part_; ++n) {
          const auto at = static_cast<std::size_t>(n);
          const int tap = part * part_ + n;
          const float h = tap < count ? response[tap] * scale : 0.0f;
          re[at] = h * weight_re_.data()[n];
          im[at] = h * weight_im_.data()[n];
        }
        fft_.forward(re.data(), im.data());
        for (int v = 0; v < vectors_; ++v) {
          Bins* to = place(spectra, v, part);
          std::copy_n(re.data() + v * lanes, lanes, to->re);
          std::copy_n(im.data() + v * lanes, lanes, to->im);
        }
      }
    }

    // The work for one block, in units of some thousand cycles, and the unit up to which each slot gets.
    void plan(int channels) {
      units_.clear();
      const auto add = [&](Kind kind, int channel, int pass, int steps, double cost, int at_once) {
        for (int first = 0; first < steps; first += at_once) {
          const int last = std::min(first + at_once, steps);
          units_.push_back({kind, channel, pass, first, last, cost * (last - first)});
        }
      };
      for (int c = 0; c < channels; ++c) {
        add(Kind::load, c, 0, vectors_, 8.0, 64);
        for (int pass = 0; pass < fft_.passes(); ++pass) {
          add(Kind::forward, c, pass, fft_.steps(pass), pass < fft_.passes() - 1 ? 20.0 : 90.0, 16);
        }
        add(Kind::store, c, 0, vectors_, 4.0, 64);
      }
      for (int c = 0; c < channels; ++c) {
        const auto sources = static_cast<double>(paths_[static_cast<std::size_t>(c)].size());
        if (sources == 0) continue;
        add(Kind::multiply, c, 0, vectors_, 2.5 * parts_ * sources + 4.0, std::max(2, 64 / parts_ * 2));
        for (int pass = 0; pass < fft_.passes(); ++pass) {
          add(Kind::backward, c, pass, fft_.steps_back(pass), pass > 0 ? 20.0 : 90.0, 16);
        }
        add(Kind::output, c, 0, vectors_, 6.0, 64);
      }
      double total = 0.0;
      for (const Unit& unit : units_) total += unit.cost;
      const int slots = part_ / slot;
      slices_.assign(static_cast<std::size_t>(slots), units_.size());
      double sum = 0.0;
      int which = 0;
      for (std::size_t i = 0; i < units_.size(); ++i) {
        sum += units_[i].cost;
        while (which < slots - 1 && sum >= total * (which + 1) / slots)
          slices_[static_cast<std::size_t>(which++)] = i + 1;
      }
    }

    void run(const Unit& unit, const Channels& input, int ring) noexcept TR_RT {
      float *re = work_.data(), *im = work_.data() + part_;
      switch (unit.kind) {
        case Kind::load:
          return load(unit, input[static_cast<std::size_t>(unit.channel)].data(), ring, re, im);
        case Kind::forward:
          return fft_.forward(unit.pass, unit.first, unit.last, re, im);
        case Kind::store:
          return store(unit, re, im);
        case Kind::multiply:
          return multiply(unit, re, im);
        case Kind::backward:
          return fft_.backward(unit.pass, unit.first, unit.last, re, im);
        case Kind::output:
          return output(unit, re, im);
      }
    }

    // The block before and this one, as real and imaginary part, weighted. After a reset there is no block before.
    void load(const Unit& unit, const float* input, int ring, float* re, float* im) const noexcept TR_RT {
      const D d;
      const float* before = input + begins_;
      const float* now = input + (begins_ + part_ == ring ? 0 : begins_ + part_);
      for (int v = unit.first; v < unit.last; ++v) {
        const int n = v * lanes;
        const V a = valid_ > 1 ? hn::LoadU(d, before + n) : hn::Zero(d), b = hn::LoadU(d, now + n);
        const V c = hn::LoadU(d, weight_re_.data() + n), s = hn::LoadU(d, weight_im_.data() + n);
        hn::StoreU(hn::NegMulAdd(b, s, a * c), d, re + n);
        hn::StoreU(hn::MulAdd(b, c, a * s), d, im + n);
      }
    }

    void store(const Unit& unit, const float* re, const float* im) noexcept TR_RT {
      const D d;
      for (int v = unit.first; v < unit.last; ++v) {
        Bins* to = place(spectra_[static_cast<std::size_t>(unit.channel)], v, newest_);
        hn::StoreU(hn::LoadU(d, re + v * lanes), d, to->re);
        hn::StoreU(hn::LoadU(d, im + v * lanes), d, to->im);
      }
    }

    // The sum over all parts of the spectrum of so many blocks ago times that of the response's part. Two vectors at
    // once, because a multiply-add waits for the last one into the same sum.
    void multiply(const Unit& unit, float* re, float* im) noexcept TR_RT {
      int v = unit.first;
      for (; v + 2 <= unit.last; v += 2) multiply_at<2>(unit, v, re, im);
      for (; v < unit.last; ++v) multiply_at<1>(unit, v, re, im);
    }

    template <int vectors>
    HWY_INLINE void multiply_at(const Unit& unit, int v, float* re, float* im) noexcept TR_RT {
      const D d;
      const int blocks = std::min(valid_, parts_);
      V rr[vectors], ii[vectors], ri[vectors], ir[vectors];
      for (int i = 0; i < vectors; ++i) rr[i] = ii[i] = ri[i] = ir[i] = hn::Zero(d);
      for (const Source& source : paths_[static_cast<std::size_t>(unit.channel)]) {
        const Bins* h = place(responses_[source.response].spectrum, v, 0);
        const Bins* x = place(spectra_[static_cast<std::size_t>(source.channel)], v, 0);
        const auto add = [&](int part, int ago) HWY_ATTR {
          for (int i = 0; i < vectors; ++i) {
            const Bins &of_h = h[i * parts_ + part], &of_x = x[i * parts_ + ago];
            const V hr = hn::LoadU(d, of_h.re), hi = hn::LoadU(d, of_h.im);
            const V xr = hn::LoadU(d, of_x.re), xi = hn::LoadU(d, of_x.im);
            rr[i] = hn::MulAdd(hr, xr, rr[i]);
            ii[i] = hn::MulAdd(hi, xi, ii[i]);
            ri[i] = hn::MulAdd(hr, xi, ri[i]);
            ir[i] = hn::MulAdd(hi, xr, ir[i]);
          }
        };
        const int before_wrap = std::min(blocks, newest_ + 1);
        for (int part = 0; part < before_wrap; ++part) add(part, newest_ - part);
        for (int part = before_wrap; part < blocks; ++part) add(part, newest_ - part + parts_);
      }
      for (int i = 0; i < vectors; ++i) {
        hn::StoreU(rr[i] - ii[i], d, re + (v + i) * lanes);
        hn::StoreU(ri[i] + ir[i], d, im + (v + i) * lanes);
      }
    }

    // The imaginary part of the inverse transform, without the weights: the second half, where nothing has wrapped
    // around.
    void output(const Unit& unit, const float* re, const float* im) noexcept TR_RT {
      const D d;
      float* to = next_[static_cast<std::size_t>(unit.channel)].data();
      for (int v = unit.first; v < unit.last; ++v) {
        const int n = v * lanes;
        const V c = hn::LoadU(d, weight_re_.data() + n), s = hn::LoadU(d, weight_im_.data() + n);
        hn::StoreU(hn::NegMulAdd(hn::LoadU(d, re + n), s, hn::LoadU(d, im + n) * c), d, to + n);
      }
    }

    int part_ = 0, parts_ = 0, vectors_ = 0;
    Fft fft_;
    AlignedRow weight_re_, weight_im_;  // e^(i pi n / 2 B)
    AlignedRow work_;
    std::vector<Spectra> spectra_;  // spectra of the last blocks, by channel
    std::vector<Response> responses_;
    std::vector<std::vector<Source>> paths_;  // by output
    Channels now_, next_;                     // the output that plays, and the one in the making
    std::vector<Unit> units_;
    std::vector<std::size_t> slices_;
    std::size_t done_ = 0;
    int newest_ = 0, valid_ = 0, begins_ = 0;
    bool has_now_ = false, has_next_ = false;
  };

  int channels_ = 0, head_taps_ = 0, ring_ = 0, at_ = 0;
  std::vector<Head> heads_;
  std::vector<Level> levels_;
  Channels input_;
  std::vector<DelayLine> recent_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
