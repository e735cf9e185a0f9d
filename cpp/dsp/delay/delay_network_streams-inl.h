// Delay networks of streams side by side: delay_network-inl.h with a stream in every lane. What it needs not do is to
// turn frames into lines and back.
#if defined(TWINRACK_DSP_DELAY_DELAY_NETWORK_STREAMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_DELAY_NETWORK_STREAMS_INL_H_
#undef TWINRACK_DSP_DELAY_DELAY_NETWORK_STREAMS_INL_H_
#else
#define TWINRACK_DSP_DELAY_DELAY_NETWORK_STREAMS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "dsp/delay/delay_network-inl.h"
#include "dsp/delay/stream_ring-inl.h"
#include "dsp/lanes/streams-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class DelayNetworkStreams {
 public:
  void prepare(const FdnLayout& layout, int channels) {
    channels_ = channels;
    rate_factor_ = layout.rate_factor;
    start_turn_ = layout.start_turn;
    entrance_ = fdn_entrance<float>(channels);
    for (std::size_t i = 0; i < fdn_lines; ++i) rings_[i].prepare(layout.line_frames[i]);
    attenuated_ = stream_memory(fdn_lines * StreamRing::block);
    filters_ = hwy::AllocateAligned<LineFilter>(fdn_lines);
    if (filters_ == nullptr) throw std::bad_alloc();
    const Streams none = hn::Zero(StreamTag());
    for (int i = 0; i < fdn_lines; ++i) filters_[at(i)].low_state = filters_[at(i)].high_state = {none, none};
  }

  // The state of a stream, and back, between two ticks.
  void take(DelayNetwork& own, int lane) noexcept TR_RT {
    own.resume();
    for (std::size_t i = 0; i < fdn_lines; ++i) rings_[i].take(own.lines_[i], lane);
    each_state(own, [&](float* here, float& there) { here[lane] = there; });
    for (int i = 0; i < fdn_pairs; ++i) {
      cosine_[i][lane] = own.turns_to_.cosine[i];
      sine_[i][lane] = own.turns_to_.sine[i];
    }
    phase_[lane] = own.phase_;
  }
  void give(DelayNetwork& own, int lane) noexcept TR_RT {
    for (std::size_t i = 0; i < fdn_lines; ++i) rings_[i].give(own.lines_[i], lane);
    each_state(own, [&](float* here, float& there) { there = here[lane]; });
    for (int i = 0; i < fdn_pairs; ++i) {
      own.turns_to_.cosine[i] = cosine_[i][lane];
      own.turns_to_.sine[i] = sine_[i][lane];
    }
    own.turns_from_ = own.turns_to_;
    own.phase_ = phase_[lane];
  }

  // Before a stretch of whole ticks. `shelves(owner)` are the coefficients of a stream, `network(owner)` its network.
  template <class Owners, class GetShelves, class GetNetwork>
  void set(const Owners& owners, const GetShelves& shelves, const GetNetwork& network) noexcept TR_RT {
    alignas(64) float numbers[2][5][fdn_lines * stream_lanes];
    for (std::size_t which = 0; which < 2; ++which) {
      for (std::size_t k = 0; k < 5; ++k) {
        const float* rows[stream_lanes];
        for (int lane = 0; lane < stream_lanes; ++lane) rows[lane] = shelves(owners.at(lane))[which][k].data();
        to_streams(rows, numbers[which][k], fdn_lines);
      }
    }
    for (int i = 0; i < fdn_lines; ++i) {
      const auto filter = [&](int which) HWY_ATTR {
        const auto number = [&](int k) HWY_ATTR { return load_streams(numbers[which][k], i); };
        return make_svf(number(0), number(1), number(2), number(3), number(4));
      };
      filters_[at(i)].low = filter(0);
      filters_[at(i)].high = filter(1);
    }
    for (int lane = 0; lane < stream_lanes; ++lane) {
      turn_rate_[lane] = network(owners.at(lane)).turn_rate_;
      turn_depth_[lane] = network(owners.at(lane)).turn_depth_;
    }
  }

  // At the beginning of every tick: the modulation goes on.
  void tick() noexcept TR_RT {
    for (int lane = 0; lane < stream_lanes; ++lane) phase_[lane] += turn_rate_[lane];
    for (std::size_t i = 0; i < fdn_pairs; ++i) {
      alignas(64) float turn[stream_lanes];
      for (int lane = 0; lane < stream_lanes; ++lane) {
        turn[lane] = DelayNetwork::turn_at(phase_[lane], rate_factor_[i], start_turn_[i]);
      }
      const Streams angle = hn::Load(StreamTag(), turn_depth_) * sine_of_turn(hn::Load(StreamTag(), turn));
      const auto go = [](float* now, float* from, float* move, Streams to) HWY_ATTR {
        const Streams before = hn::Load(StreamTag(), now);
        hn::Store(before, StreamTag(), from);
        hn::Store(to - before, StreamTag(), move);
        hn::Store(to, StreamTag(), now);
      };
      go(cosine_[i], cosine_from_[i], cosine_move_[i], cosine_of_quarter(angle));
      go(sine_[i], sine_from_[i], sine_move_[i], sine_of_quarter(angle));
    }
  }

  // A block of a ring, in place, which begins at a frame of the tick.
  void process(float* const* x, Streams level, int frame_in_tick) noexcept TR_RT {
    for (int i = 0; i < fdn_lines; ++i) attenuate(i);
    channels_ == 1 ? mix<1>(x, level, frame_in_tick) : mix<2>(x, level, frame_in_tick);
    for (StreamRing& ring : rings_) ring.close();
  }

 private:
  struct LineFilter {
    Svf<Streams> low, high;
    SvfState<Streams> low_state, high_state;
  };

  static std::size_t at(int line) noexcept TR_RT { return static_cast<std::size_t>(line); }

  // Calls use(number of all streams, number of one) for the states of the filters of all lines.
  template <class Use>
  void each_state(DelayNetwork& own, const Use& use) noexcept TR_RT {
    for (int i = 0; i < fdn_lines; ++i) {
      LineFilter& f = filters_[at(i)];
      const int part = i / DelayNetwork::L::lanes, lane = i % DelayNetwork::L::lanes;
      const auto both = [&](SvfState<Streams>& here, SvfState<DelayNetwork::V>& there) HWY_ATTR {
        for (const bool first : {true, false}) {
          alignas(64) float all[stream_lanes], line[DelayNetwork::L::lanes];
          Streams& v = first ? here.s1 : here.s2;
          DelayNetwork::V& w = first ? there.s1 : there.s2;
          hn::Store(v, StreamTag(), all);
          hn::StoreU(w, DelayNetwork::L::D(), line);
          use(all, line[lane]);
          v = hn::Load(StreamTag(), all);
          w = hn::LoadU(DelayNetwork::L::D(), line);
        }
      };
      both(f.low_state, own.states_.low[part]);
      both(f.high_state, own.states_.high[part]);
    }
  }

  // One line for a block, so that its numbers stay in registers.
  void attenuate(int line) noexcept TR_RT {
    const float* x = rings_[at(line)].oldest();
    float* y = attenuated_.get() + static_cast<std::ptrdiff_t>(line) * StreamRing::block * stream_lanes;
    LineFilter& f = filters_[at(line)];
    const Svf<Streams> low = f.low, high = f.high;
    SvfState<Streams> low_state = f.low_state, high_state = f.high_state;
    for (int n = 0; n < StreamRing::block; ++n) {
      hwy::Prefetch(x + static_cast<std::ptrdiff_t>(n + StreamRing::block) * stream_lanes);  // the next block
      const Streams in = load_streams(x, n);
      store_streams(svf_step(high_state, high, svf_step(low_state, low, in)), y, n);
    }
    f.low_state = low_state;
    f.high_state = high_state;
  }

  template <int channels>
  void mix(float* const* channel, Streams level, int frame_in_tick) noexcept TR_RT {
    const StreamTag tag;
    float* into[fdn_lines];
    for (int i = 0; i < fdn_lines; ++i) into[i] = rings_[at(i)].oldest();
    for (int n = 0; n < StreamRing::block; ++n) {
      Streams x[fdn_lines], source[channels];
      for (int i = 0; i < fdn_lines; ++i) x[i] = load_streams(attenuated_.get(), i * StreamRing::block + n);
      for (int c = 0; c < channels; ++c) source[c] = load_streams(channel[c], n);
      const Streams share = hn::Set(tag, ramp_position<float>(frame_in_tick + n));
      for (int i = 0; i < fdn_pairs; ++i) {
        const auto moved = [&](const float* from, const float* move)
                               HWY_ATTR { return hn::Load(tag, from) + hn::Load(tag, move) * share; };
        DelayNetwork::rotate_pair(x[i], x[i + fdn_pairs], moved(cosine_from_[i], cosine_move_[i]),
                                  moved(sine_from_[i], sine_move_[i]));
      }
      DelayNetwork::hadamard(x);
      for (int i = 0; i < fdn_lines; ++i) {
        store_streams(MulAdd(hn::Set(tag, entrance_[at(i)]), source[i % channels], x[i]), into[i], n);
      }
      for (int c = 0; c < channels; ++c) store_streams(level * x[c], channel[c], n);
    }
  }

  int channels_ = 0;
  std::array<double, fdn_pairs> rate_factor_{}, start_turn_{};
  std::array<float, fdn_lines> entrance_{};
  std::array<StreamRing, fdn_lines> rings_;
  hwy::AlignedFreeUniquePtr<float[]> attenuated_;  // a block of each line
  hwy::AlignedFreeUniquePtr<LineFilter[]> filters_;
  // Cosine and sine of each pair's angle at the end of the tick, at its beginning, and from there to the end.
  using Turns = float[fdn_pairs][stream_lanes];
  alignas(64) Turns cosine_ = {}, sine_ = {}, cosine_from_ = {}, sine_from_ = {}, cosine_move_ = {}, sine_move_ = {};
  double phase_[stream_lanes] = {}, turn_rate_[stream_lanes] = {};
  alignas(64) float turn_depth_[stream_lanes] = {};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
