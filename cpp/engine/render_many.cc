#include "engine/render_many.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/rack.h"
#include "engine/stream_group.h"
#include "rt/float_guard.h"

namespace twinrack {

namespace {

constexpr double many_bytes = 1 << 24;  // do not stay in the caches until they are read

// A tree whose values are replaced by those of a rendering.
class ValuedTree {
 public:
  const Node& of(const Rendering& r, const std::vector<int>& parameters) {
    if (parameters.empty()) return *r.root;
    if (r.root != copied_) {
      copied_ = r.root;
      tree_ = *r.root;
      values_.clear();
      collect(tree_);
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto at = static_cast<std::size_t>(parameters[i]);
      if (parameters[i] < 0 || at >= values_.size()) throw std::out_of_range("no parameter has this number");
      *values_[at] = r.values[i];
    }
    return tree_;
  }

 private:
  void collect(Node& node) {
    for (float& value : node.values) values_.push_back(&value);
    for (Node& child : node.children) collect(child);
  }

  const Node* copied_ = nullptr;
  Node tree_;
  std::vector<float*> values_;
};

const float* row(const Rendering& r, const float* all, int channel) {
  return all + static_cast<std::ptrdiff_t>(channel) * r.frames;
}

// Copies a block that begins at `start`; after the end of the sound there is silence.
void read(const Rendering& r, int channel, int start, int frames, float* to) {
  const int given = std::clamp(r.frames - start, 0, frames);
  if (given > 0) std::copy_n(row(r, r.sound, channel) + start, given, to);
  std::fill_n(to + given, frames - given, 0.0f);
}

// Copies a block of the result that begins at `start`, less the latency.
void write(const Rendering& r, int channel, int start, int frames, int latency, const float* from) {
  const int first = std::max(start - latency, 0), end = std::min(start + frames - latency, r.frames);
  if (first >= end) return;
  float* to = r.output + static_cast<std::ptrdiff_t>(channel) * r.frames;
  std::copy_n(from + (first + latency - start), end - first, to + first);
}

void render_alone(const Node& root, const Rendering& r, double sample_rate) {
  Rack rack(root, {sample_rate, r.channels});
  if (rack.key_count() > static_cast<int>(r.keys.size())) throw std::invalid_argument("a sidechain is missing");
  const int latency = rack.latency();
  std::vector<float> memory(static_cast<std::size_t>(r.channels + 1) * max_segment);
  const float* silence = memory.data() + static_cast<std::ptrdiff_t>(r.channels) * max_segment;
  const float* key_channel[max_channels][max_channels];
  SideBlock keys[max_channels];
  for (int start = 0; start < r.frames + latency;) {
    const bool ended = start >= r.frames;  // sidechains end with the sound
    const int left = ended ? r.frames + latency - start : r.frames - start;
    const int frames = std::min(max_segment - start % max_segment, left);
    float* channel[max_channels];
    for (int c = 0; c < r.channels; ++c) {
      channel[c] = memory.data() + static_cast<std::ptrdiff_t>(c) * max_segment;
      read(r, c, start, frames, channel[c]);
    }
    for (std::size_t k = 0; k < r.keys.size(); ++k) {
      const int channels = ended ? r.channels : r.key_channels[k];
      for (int c = 0; c < channels; ++c) key_channel[k][c] = ended ? silence : row(r, r.keys[k], c) + start;
      keys[k] = {key_channel[k], channels};
    }
    rack.process(channel, r.keys.empty() ? nullptr : keys, frames);
    for (int c = 0; c < r.channels; ++c) write(r, c, start, frames, latency, channel[c]);
    start += frames;
  }
}

// False where a sample is or became NaN or infinity: each is to be rendered alone.
bool render_together(const std::vector<const Rendering*>& all, const std::vector<int>& parameters, double sample_rate,
                     ValuedTree& tree, bool past_caches, std::atomic<std::int64_t>& frames_together) {
  const FloatGuard guard;
  const int channels = all.front()->channels, lanes = kernels().lanes;
  std::vector<std::unique_ptr<Program>> programs;
  for (const Rendering* r : all) {
    programs.push_back(std::make_unique<Program>(tree.of(*r, parameters), Format{sample_rate, channels}));
  }
  StreamGroup group(std::move(programs));
  int end = 0;
  for (int k = 0; k < group.size(); ++k) {
    end = std::max(end, all[static_cast<std::size_t>(k)]->frames + group.latency(k));
  }
  std::vector<float> memory(static_cast<std::size_t>((channels * lanes + 1) * max_segment));
  const float* silence = memory.data() + memory.size() - max_segment;
  const float* from[2][max_streams];
  float* to[2][max_streams];
  const float* const* from_rows[] = {from[0], from[1]};
  float* const* to_rows[] = {to[0], to[1]};
  for (int start = 0; start < end; start += max_segment) {
    bool direct = true;  // into the outputs
    for (int c = 0; c < channels; ++c) {
      for (int k = 0; k < lanes; ++k) {
        float* own = memory.data() + static_cast<std::ptrdiff_t>(c * lanes + k) * max_segment;
        from[c][k] = silence;
        to[c][k] = own;
        if (k >= group.size()) continue;
        const Rendering& r = *all[static_cast<std::size_t>(k)];
        const bool whole = start + max_segment <= r.frames;
        if (!whole) read(r, c, start, max_segment, own);
        from[c][k] = whole ? row(r, r.sound, c) + start : own;
        if (whole && group.latency(k) == 0) {
          to[c][k] = r.output + (row(r, r.sound, c) - r.sound) + start;
        } else {
          direct = false;
        }
      }
      for (int k = group.size(); k < lanes; ++k) from[c][k] = from[c][0];
    }
    if (!group.process(from_rows, to_rows, past_caches && direct)) return false;
    for (int c = 0; c < channels; ++c) {
      for (int k = 0; k < group.size(); ++k) {
        const float* own = memory.data() + static_cast<std::ptrdiff_t>(c * lanes + k) * max_segment;
        if (to[c][k] == own) write(*all[static_cast<std::size_t>(k)], c, start, max_segment, group.latency(k), own);
      }
    }
  }
  kernels().finish_past_caches();
  frames_together += group.frames_together();
  return true;
}

// Adds the name of a structure: the effects, and the values that do not move. Programs of one name run side by side.
void add_structure(const Node& node, std::string& structure) {
  structure += std::to_string(static_cast<int>(node.kind)) + node.effect + (node.bypass ? "-" : "+");
  const EffectType* type = node.kind == Node::Kind::effect ? find_effect(node.effect.c_str()) : nullptr;
  for (std::size_t i = 0; type != nullptr && i < node.values.size(); ++i) {
    if (i >= static_cast<std::size_t>(type->parameter_count) || type->parameters[i].scale != Scale::step) continue;
    structure += std::to_string(static_cast<int>(node.values[i])) + ',';
  }
  structure += '(';
  for (const Node& child : node.children) add_structure(child, structure);
  structure += ')';
}

using Job = std::vector<const Rendering*>;

class Planner {
 public:
  Planner(const Renderings& renderings, int threads) : renderings_(renderings), threads_(threads) {}

  // Renderings that can run side by side, in groups; others by themselves.
  std::vector<Job> jobs() {
    std::map<std::string, Job> alike;
    std::vector<Job> all;
    for (const Rendering& r : renderings_.all) {
      const Node& root = tree_.of(r, renderings_.parameters);
      if (!r.keys.empty() || !StreamGroup::fits(root, r.channels)) {
        all.push_back({&r});
        continue;
      }
      std::string structure = std::to_string(r.channels);
      add_structure(root, structure);
      alike[structure].push_back(&r);
    }
    for (auto& [structure, members] : alike) split(members, all);
    return all;
  }

 private:
  void split(Job& members, std::vector<Job>& all) const {
    const auto count = static_cast<int>(members.size()), lanes = kernels().lanes;
    std::stable_sort(members.begin(), members.end(), [](auto* a, auto* b) { return a->frames < b->frames; });
    const int groups = std::max((count + lanes - 1) / lanes, std::min(threads_, 2 * count / lanes));
    for (int i = 0; i < groups; ++i) {
      Job job(members.begin() + i * count / groups, members.begin() + (i + 1) * count / groups);
      if (static_cast<int>(job.size()) >= StreamGroup::least_streams()) {
        all.push_back(std::move(job));
      } else {
        for (const Rendering* r : job) all.push_back({r});
      }
    }
  }

  const Renderings& renderings_;
  int threads_;
  ValuedTree tree_;
};

}  // namespace

std::int64_t render_many(const Renderings& renderings, int threads, const std::function<bool()>& may_continue) {
  std::vector<Job> jobs = Planner(renderings, threads).jobs();
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.size() > b.size(); });
  std::atomic<std::size_t> next{0};
  std::atomic<bool> ends{false};
  std::atomic<std::int64_t> frames_together{0};
  double bytes = 0;
  for (const Rendering& r : renderings.all) bytes += static_cast<double>(sizeof(float)) * r.channels * r.frames;
  const bool past_caches = bytes > many_bytes;
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&](bool asks) {
    try {
      ValuedTree tree;
      while (!ends) {
        const std::size_t which = next++;
        if (which >= jobs.size()) return;
        const Job& job = jobs[which];
        const double rate = renderings.sample_rate;
        if (job.size() < 2 || !render_together(job, renderings.parameters, rate, tree, past_caches, frames_together)) {
          for (const Rendering* r : job) render_alone(tree.of(*r, renderings.parameters), *r, rate);
        }
        if (asks && !may_continue()) ends = true;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      ends = true;
    }
  };
  threads = std::clamp(threads, 1, static_cast<int>(std::clamp<std::size_t>(jobs.size(), 1, 1024)));
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back(work, false);
  } catch (const std::system_error&) {  // no more threads are to be had; those that run do the work
  }
  work(true);
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
  return frames_together;
}

}  // namespace twinrack
