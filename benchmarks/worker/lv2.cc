// Any LV2 plugin with two audio inputs and outputs, run by lilv (ISC licence). The plugins themselves are mostly GPL;
// they are loaded into this program only.
//
//   lv2 NOISE RATE URI [SYMBOL=VALUE]...
//
// The plugin gets what hosts usually give: URIDs, the block length, and a worker, whose jobs run between blocks.
#include <lilv/lilv.h>
#include <lv2/atom/atom.h>
#include <lv2/buf-size/buf-size.h>
#include <lv2/core/lv2.h>
#include <lv2/options/options.h>
#include <lv2/parameters/parameters.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include <cstdint>
#include <cstring>

#include "measure.h"
#include "rt/float_guard.h"

namespace {

// Numbers for URIs, counted from 1.
class Urids {
 public:
  LV2_URID map(const std::string& uri) {
    const auto [at, is_new] = numbers_.try_emplace(uri, static_cast<LV2_URID>(numbers_.size() + 1));
    if (is_new) uris_.push_back(&at->first);
    return at->second;
  }
  const char* unmap(LV2_URID number) const {
    return number == 0 || number > uris_.size() ? nullptr : uris_[number - 1]->c_str();
  }

 private:
  std::map<std::string, LV2_URID> numbers_;
  std::vector<const std::string*> uris_;
};

struct Uri {
  Uri(LilvWorld* world, const std::string& text) : node(lilv_new_uri(world, text.c_str())) {
    if (node == nullptr) throw bench::Refusal(text + " is no URI");
  }
  ~Uri() { lilv_node_free(node); }
  Uri(const Uri&) = delete;
  Uri& operator=(const Uri&) = delete;
  LilvNode* node;
};

struct World {
  World() : self(lilv_world_new()) { lilv_world_load_all(self); }
  ~World() { lilv_world_free(self); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  LilvWorld* self;
};

using Controls = std::vector<std::pair<std::string, float>>;

class Plugin : public bench::Engine {
 public:
  Plugin(LilvWorld* world, const LilvPlugin* plugin, const Controls& controls, double rate, int block)
      : block_(block), rate_(static_cast<float>(rate)) {
    describe_host();
    instance_ = lilv_plugin_instantiate(plugin, rate, features_);
    if (instance_ == nullptr)
      throw bench::Refusal("the plugin does not start: it may want a feature that is not given");
    jobs_ =
        static_cast<const LV2_Worker_Interface*>(lilv_instance_get_extension_data(instance_, LV2_WORKER__interface));
    connect(world, plugin);
    for (const auto& [symbol, value] : controls) set(world, plugin, symbol, value);
    lilv_instance_activate(instance_);
  }

  ~Plugin() override {
    if (instance_ == nullptr) return;
    lilv_instance_deactivate(instance_);
    lilv_instance_free(instance_);
  }

  void process(const float* const* in, float* const* out, int frames) override {
    const twinrack::FloatGuard guard;  // as hosts do
    const auto bytes = static_cast<std::size_t>(frames) * sizeof(float);
    for (std::size_t c = 0; c < 2; ++c) std::memcpy(in_[c]->data(), in[c], bytes);
    for (LV2_Atom* port : events_out_) {  // says how much may be written
      port->type = chunk_;
      port->size = static_cast<std::uint32_t>(static_cast<std::size_t>(events_bytes_) - sizeof(LV2_Atom));
    }
    lilv_instance_run(instance_, static_cast<std::uint32_t>(frames));
    if (!waiting_.empty()) work();
    for (std::size_t c = 0; c < 2; ++c) std::memcpy(out[c], out_[c]->data(), bytes);
  }

 private:
  void describe_host() {
    map_ = {&urids_, [](LV2_URID_Map_Handle self, const char* uri) { return static_cast<Urids*>(self)->map(uri); }};
    unmap_ = {&urids_,
              [](LV2_URID_Unmap_Handle self, LV2_URID number) { return static_cast<Urids*>(self)->unmap(number); }};
    schedule_ = {this, [](LV2_Worker_Schedule_Handle self, std::uint32_t size, const void* data) {
                   const auto* bytes = static_cast<const char*>(data);
                   static_cast<Plugin*>(self)->waiting_.emplace_back(bytes, bytes + size);
                   return LV2_WORKER_SUCCESS;
                 }};
    const auto option = [&](const char* key, const char* type, std::uint32_t size, const void* value) {
      options_.push_back({LV2_OPTIONS_INSTANCE, 0, urids_.map(key), size, urids_.map(type), value});
    };
    for (const char* key :
         {LV2_BUF_SIZE__minBlockLength, LV2_BUF_SIZE__maxBlockLength, LV2_BUF_SIZE__nominalBlockLength}) {
      option(key, LV2_ATOM__Int, sizeof block_, &block_);
    }
    option(LV2_BUF_SIZE__sequenceSize, LV2_ATOM__Int, sizeof events_bytes_, &events_bytes_);
    option(LV2_PARAMETERS__sampleRate, LV2_ATOM__Float, sizeof rate_, &rate_);
    options_.push_back({LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, nullptr});
    options_feature_.data = options_.data();
    chunk_ = urids_.map(LV2_ATOM__Chunk);
    sequence_ = urids_.map(LV2_ATOM__Sequence);
  }

  void connect(LilvWorld* world, const LilvPlugin* plugin) {
    const Uri audio(world, LILV_URI_AUDIO_PORT), control(world, LILV_URI_CONTROL_PORT);
    const Uri atom(world, LV2_ATOM__AtomPort), input(world, LILV_URI_INPUT_PORT);
    const std::uint32_t ports = lilv_plugin_get_num_ports(plugin);
    controls_.resize(ports);
    std::vector<float> low(ports), high(ports);
    lilv_plugin_get_port_ranges_float(plugin, low.data(), high.data(), controls_.data());
    for (std::uint32_t i = 0; i < ports; ++i) {
      const LilvPort* port = lilv_plugin_get_port_by_index(plugin, i);
      const bool comes_in = lilv_port_is_a(plugin, port, input.node);
      if (lilv_port_is_a(plugin, port, audio.node)) {
        auto& side = comes_in ? in_ : out_;
        side.push_back(std::make_unique<std::vector<float>>(static_cast<std::size_t>(block_)));
        lilv_instance_connect_port(instance_, i, side.back()->data());
      } else if (lilv_port_is_a(plugin, port, control.node)) {
        if (std::isnan(controls_[i])) controls_[i] = 0;
        lilv_instance_connect_port(instance_, i, &controls_[i]);
      } else if (lilv_port_is_a(plugin, port, atom.node)) {
        auto& memory = *events_.emplace_back(
            std::make_unique<std::vector<std::uint64_t>>(static_cast<std::size_t>(events_bytes_) / 8));
        auto* sequence = reinterpret_cast<LV2_Atom_Sequence*>(memory.data());
        sequence->atom = {sizeof(LV2_Atom_Sequence_Body), sequence_};
        if (!comes_in) events_out_.push_back(&sequence->atom);
        lilv_instance_connect_port(instance_, i, memory.data());
      } else {
        lilv_instance_connect_port(instance_, i, nullptr);
      }
    }
    if (in_.size() != 2 || out_.size() != 2) throw bench::Refusal("the plugin is not stereo in, stereo out");
  }

  void set(LilvWorld* world, const LilvPlugin* plugin, const std::string& symbol, float value) {
    LilvNode* name = lilv_new_string(world, symbol.c_str());
    const LilvPort* port = lilv_plugin_get_port_by_symbol(plugin, name);
    lilv_node_free(name);
    if (port == nullptr) throw bench::Refusal("the plugin has no port " + symbol);
    LilvNode *low = nullptr, *high = nullptr;
    lilv_port_get_range(plugin, port, nullptr, &low, &high);
    const bool fits = (low == nullptr || value >= lilv_node_as_float(low) - 1e-6f) &&
                      (high == nullptr || value <= lilv_node_as_float(high) + 1e-6f);
    lilv_node_free(low);
    lilv_node_free(high);
    if (!fits) throw bench::Refusal(symbol + " = " + std::to_string(value) + " is out of the plugin's range");
    controls_[lilv_port_get_index(plugin, port)] = value;
  }

  // On this thread: what a plugin puts off counts as well.
  void work() {
    const auto jobs = std::move(waiting_);
    waiting_.clear();
    if (jobs_ == nullptr) return;
    LV2_Handle handle = lilv_instance_get_handle(instance_);
    const auto respond = [](LV2_Worker_Respond_Handle self, std::uint32_t size, const void* data) {
      const auto* plugin = static_cast<Plugin*>(self);
      return plugin->jobs_->work_response == nullptr
                 ? LV2_WORKER_SUCCESS
                 : plugin->jobs_->work_response(lilv_instance_get_handle(plugin->instance_), size, data);
    };
    for (const auto& job : jobs) jobs_->work(handle, respond, this, static_cast<std::uint32_t>(job.size()), job.data());
    if (jobs_->end_run != nullptr) jobs_->end_run(handle);
  }

  Urids urids_;
  std::int32_t block_;
  std::int32_t events_bytes_ = 1 << 18;  // LSP asks for a lot
  float rate_;
  LV2_URID chunk_ = 0, sequence_ = 0;
  LV2_URID_Map map_{};
  LV2_URID_Unmap unmap_{};
  LV2_Worker_Schedule schedule_{};
  std::vector<LV2_Options_Option> options_;
  LV2_Feature map_feature_{LV2_URID__map, &map_}, unmap_feature_{LV2_URID__unmap, &unmap_};
  LV2_Feature schedule_feature_{LV2_WORKER__schedule, &schedule_};
  LV2_Feature options_feature_{LV2_OPTIONS__options, nullptr};
  LV2_Feature bounded_{LV2_BUF_SIZE__boundedBlockLength, nullptr}, fixed_{LV2_BUF_SIZE__fixedBlockLength, nullptr};
  const LV2_Feature* features_[7] = {&map_feature_, &unmap_feature_, &schedule_feature_, &options_feature_, &bounded_,
                                     &fixed_,       nullptr};
  LilvInstance* instance_ = nullptr;
  const LV2_Worker_Interface* jobs_ = nullptr;
  std::vector<std::vector<char>> waiting_;
  std::vector<float> controls_;
  std::vector<std::unique_ptr<std::vector<float>>> in_, out_;
  std::vector<std::unique_ptr<std::vector<std::uint64_t>>> events_;
  std::vector<LV2_Atom*> events_out_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::guarded([&] {
    if (argc < 4) throw bench::Refusal("lv2 NOISE RATE URI [SYMBOL=VALUE]...");
    const double rate = std::stod(argv[2]);
    const World world;
    const Uri uri(world.self, argv[3]);
    const LilvPlugin* plugin = lilv_plugins_get_by_uri(lilv_world_get_all_plugins(world.self), uri.node);
    if (plugin == nullptr) throw bench::Refusal(std::string(argv[3]) + " is not installed");
    Controls controls;
    for (int i = 4; i < argc; ++i) {
      std::string symbol;
      float value = 0;
      if (!bench::split(argv[i], symbol, value)) throw bench::Refusal(std::string(argv[i]) + " is not SYMBOL=VALUE");
      controls.emplace_back(symbol, value);
    }
    bench::serve(argv[1], 2, rate,
                 [&](int block) { return std::make_unique<Plugin>(world.self, plugin, controls, rate, block); });
  });
}
