#include "engine/render_many.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "engine/rack.h"

namespace twinrack {

namespace {

// A tree whose values can be replaced by number.
class ValuedTree {
 public:
  explicit ValuedTree(const Node& root) : root_(root) { collect(root_); }

  const Node& with(const std::vector<int>& parameters, const float* values) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto at = static_cast<std::size_t>(parameters[i]);
      if (parameters[i] < 0 || at >= values_.size()) throw std::out_of_range("no parameter has this number");
      *values_[at] = values[i];
    }
    return root_;
  }

 private:
  void collect(Node& node) {
    for (float& value : node.values) values_.push_back(&value);
    for (Node& child : node.children) collect(child);
  }

  Node root_;
  std::vector<float*> values_;
};

// One rendering, block by block: the sound and its sidechains from `start` on, then silence for as long as the latency.
class Stream {
 public:
  explicit Stream(const Rendering& rendering)
      : r_(rendering), memory_(static_cast<std::size_t>(r_.channels) * max_segment), silence_(max_segment) {
    for (int c = 0; c < r_.channels; ++c) {
      channel_[c] = memory_.data() + static_cast<std::ptrdiff_t>(c) * max_segment;
    }
  }

  float* const* read(int start, int frames) {
    const int given = std::clamp(r_.frames - start, 0, frames);
    for (int c = 0; c < r_.channels; ++c) {
      std::copy_n(given > 0 ? row(r_.sound, c) + start : nullptr, given, channel_[c]);
      std::fill_n(channel_[c] + given, frames - given, 0.0f);
    }
    return channel_;
  }

  // Null where there are none. Within the sound, or within the silence after it.
  const SideBlock* keys(int start) {
    for (std::size_t k = 0; k < r_.keys.size(); ++k) {
      const bool ended = start >= r_.frames;
      const int channels = ended ? r_.channels : r_.key_channels[k];
      for (int c = 0; c < channels; ++c) {
        key_channel_[k][c] = ended ? silence_.data() : row(r_.keys[k], c) + start;
      }
      keys_[k] = {key_channel_[k], channels};
    }
    return r_.keys.empty() ? nullptr : keys_;
  }

  // The block that was read at `start`, less the latency at the beginning.
  void write(int start, int frames, int latency) {
    const int skipped = std::clamp(latency - start, 0, frames);
    for (int c = 0; c < r_.channels; ++c) {
      float* to = r_.output + static_cast<std::ptrdiff_t>(c) * r_.frames + (start + skipped - latency);
      std::copy_n(channel_[c] + skipped, frames - skipped, to);
    }
  }

 private:
  const float* row(const float* all, int c) const { return all + static_cast<std::ptrdiff_t>(c) * r_.frames; }

  const Rendering& r_;
  std::vector<float> memory_, silence_;
  float* channel_[max_channels];
  const float* key_channel_[max_channels][max_channels];
  SideBlock keys_[max_channels];
};

void render(const Node& root, const Rendering& r, double sample_rate) {
  Rack rack(root, {sample_rate, r.channels});
  if (rack.key_count() > static_cast<int>(r.keys.size())) throw std::invalid_argument("a sidechain is missing");
  const int latency = rack.latency();
  Stream stream(r);
  for (int start = 0; start < r.frames + latency;) {
    const int left = start < r.frames ? r.frames - start : r.frames + latency - start;
    const int frames = std::min(max_segment - start % max_segment, left);
    rack.process(stream.read(start, frames), stream.keys(start), frames);
    stream.write(start, frames, latency);
    start += frames;
  }
}

}  // namespace

void render_many(const Renderings& renderings, int threads, const std::function<bool()>& may_continue) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> ends{false};
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&](bool asks) {
    try {
      const Node* root = nullptr;
      std::unique_ptr<ValuedTree> tree;
      while (!ends) {
        const std::size_t which = next++;
        if (which >= renderings.all.size()) return;
        const Rendering& r = renderings.all[which];
        if (renderings.parameters.empty()) {
          render(*r.root, r, renderings.sample_rate);
        } else {
          if (r.root != root) tree = std::make_unique<ValuedTree>(*(root = r.root));
          render(tree->with(renderings.parameters, r.values), r, renderings.sample_rate);
        }
        if (asks && !may_continue()) ends = true;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      ends = true;
    }
  };
  threads = std::clamp(threads, 1, static_cast<int>(std::clamp<std::size_t>(renderings.all.size(), 1, 1024)));
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back(work, false);
  } catch (const std::system_error&) {  // no more threads are to be had; those that run do the work
  }
  work(true);
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace twinrack
