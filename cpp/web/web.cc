// The engine for a page: a flat C interface, as cpp/bind is for Python. A page gives a rack in the flat form, builds it
// for its sample rate, and calls `process` from its AudioWorklet; everything happens on that one thread.
//
// Calls that cannot do what they are asked to stop the module (runtime.cc); `tw_last_words` says why, and the page
// begins with a new instance.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/flat_rack.h"
#include "engine/rack.h"
#include "web/exported.h"

namespace twinrack {
namespace {

// A rack that plays, and the memory that the page writes to and reads from: channels and sidechains of `max_segment`
// frames each.
class WebPlayer {
 public:
  WebPlayer(const FlatRack& flat, double rate)
      : rate_(rate),
        rack_(flat.tree(rate), {rate, flat.channels}),
        rows_(static_cast<std::size_t>(flat.channels) * (1 + flat.keys.size()), std::vector<float>(max_segment)),
        connected_(flat.keys.size()) {
    for (auto& row : rows_) pointers_.push_back(row.data());
    for (std::size_t k = 0; k < connected_.size(); ++k) keys_.push_back({nullptr, 0});
  }

  float* row(int number) { return rows_[static_cast<std::size_t>(number)].data(); }
  void connect(int key, bool on) { connected_[static_cast<std::size_t>(key)] = on; }

  void process(int frames) noexcept {
    const auto channels = static_cast<std::size_t>(rack_.format().channels);
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      keys_[k] = {connected_[k] ? pointers_.data() + channels * (k + 1) : nullptr,
                  connected_[k] ? rack_.format().channels : 0};
    }
    rack_.process(pointers_.data(), keys_.empty() ? nullptr : keys_.data(), frames);
  }

  // Another rack of the same channels and sidechains, by a crossfade; false where it is of another form.
  bool swap(const FlatRack& flat) {
    if (flat.channels != rack_.format().channels || flat.keys.size() != keys_.size()) return false;
    return rack_.swap(flat.tree(rate_)) != 0;
  }

  const EffectMeter* meters() {
    rack_.collect();
    meters_ = rack_.meters();
    return meters_.data();
  }

  Rack& rack() noexcept { return rack_; }

 private:
  double rate_;
  Rack rack_;
  std::vector<std::vector<float>> rows_;
  std::vector<float*> pointers_;
  std::vector<bool> connected_;
  std::vector<SideBlock> keys_;
  std::vector<EffectMeter> meters_;
};

FlatRack read(const char* bytes, int size) { return FlatRack::read({bytes, static_cast<std::size_t>(size)}); }

}  // namespace
}  // namespace twinrack

using twinrack::WebPlayer;

// Memory of the page's own, as much as it asks for; null where there is none left.
TWINRACK_WEB(tw_alloc) void* tw_alloc(int bytes) { return std::malloc(static_cast<std::size_t>(bytes)); }
TWINRACK_WEB(tw_free) void tw_free(void* memory) { std::free(memory); }

// The instruction set.
TWINRACK_WEB(tw_target) const char* tw_target() { return twinrack::all_effects()[0]->target; }
TWINRACK_WEB(tw_largest_block) int tw_largest_block() { return twinrack::max_segment; }

// A rack in its flat form, at a sample rate in Hz.
TWINRACK_WEB(tw_build) WebPlayer* tw_build(const char* bytes, int size, double rate) {
  return new WebPlayer(twinrack::read(bytes, size), rate);
}
TWINRACK_WEB(tw_delete) void tw_delete(WebPlayer* player) { delete player; }
// 1 where the change was taken, 0 where too many wait or the other rack is of another form.
TWINRACK_WEB(tw_swap) int tw_swap(WebPlayer* player, const char* bytes, int size) {
  return player->swap(twinrack::read(bytes, size)) ? 1 : 0;
}
TWINRACK_WEB(tw_set) int tw_set(WebPlayer* player, int parameter, float value) {
  return player->rack().set_parameter(parameter, value) != 0 ? 1 : 0;
}
TWINRACK_WEB(tw_bypass) int tw_bypass(WebPlayer* player, int effect, int on) {
  return player->rack().set_bypass(effect, on != 0) != 0 ? 1 : 0;
}
TWINRACK_WEB(tw_reset) void tw_reset(WebPlayer* player) { player->rack().reset(); }
TWINRACK_WEB(tw_stay_awake) void tw_stay_awake(WebPlayer* player) { player->rack().stay_awake(); }
// In frames.
TWINRACK_WEB(tw_latency) int tw_latency(WebPlayer* player) { return player->rack().latency(); }

// The frames of a channel, or of channel c of sidechain k: number channels * (k + 1) + c.
TWINRACK_WEB(tw_row) float* tw_row(WebPlayer* player, int number) { return player->row(number); }
// A sidechain that is not connected: the effect hears its own input.
TWINRACK_WEB(tw_connect) void tw_connect(WebPlayer* player, int key, int on) { player->connect(key, on != 0); }
// In place, up to tw_largest_block frames.
TWINRACK_WEB(tw_process) void tw_process(WebPlayer* player, int frames) { player->process(frames); }

// Of each effect in the order of the tree: peak in, peak out, RMS in, RMS out, gain reduction in dB, faults (an
// integer), since it was asked last.
TWINRACK_WEB(tw_meters) const twinrack::EffectMeter* tw_meters(WebPlayer* player) { return player->meters(); }
static_assert(sizeof(twinrack::EffectMeter) == 24);
