// A host for tests, against the real headers of LV2 and CLAP: it plays a plugin in blocks and writes what comes out.
//
//     plugin_host lv2|clap|vst3 PATH RATE CHANNELS KEYS BLOCK IN OUT [values ...] [frame:id:value ...] [state=TEXT]
//
// IN and OUT are float32, one channel after the other; sidechains follow the inputs. The values are those of LV2's
// control ports after the audio ports, in order. An event holds from its frame on, in LV2 from the block that begins
// there. Of CLAP and VST3 it prints the parameters, and whether a state that is saved and loaded is the same.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <clap/entry.h>
#include <clap/ext/audio-ports.h>
#include <clap/ext/latency.h>
#include <clap/ext/params.h>
#include <clap/ext/state.h>
#include <clap/plugin-factory.h>
#include <lv2/core/lv2.h>
#include <travesty/audio_processor.h>
#include <travesty/component.h>
#include <travesty/edit_controller.h>
#include <travesty/factory.h>

#include "abi/clap.h"
#include "abi/lv2.h"
#include "abi/vst3.h"

// Our own declarations lie in memory as the real ones do.
#define SAME(own, real, member, real_member)                                      \
  static_assert(sizeof(twinrack::own) == sizeof(real) &&                          \
                offsetof(twinrack::own, member) == offsetof(real, real_member) && \
                sizeof(twinrack::own::member) == sizeof(real::real_member))
SAME(lv2::Descriptor, LV2_Descriptor, extension_data, extension_data);
SAME(lv2::Library, LV2_Lib_Descriptor, get_plugin, get_plugin);
SAME(clap::Host, clap_host_t, request_callback, request_callback);
SAME(clap::EventHeader, clap_event_header_t, flags, flags);
SAME(clap::ValueEvent, clap_event_param_value_t, value, value);
SAME(clap::ValueEvent, clap_event_param_value_t, parameter, param_id);
SAME(clap::InputEvents, clap_input_events_t, get, get);
SAME(clap::OutputEvents, clap_output_events_t, try_push, try_push);
SAME(clap::AudioBuffer, clap_audio_buffer_t, constant_mask, constant_mask);
SAME(clap::Process, clap_process_t, out_events, out_events);
SAME(clap::Process, clap_process_t, inputs, audio_inputs);
SAME(clap::Descriptor, clap_plugin_descriptor_t, features, features);
SAME(clap::Plugin, clap_plugin_t, process, process);
SAME(clap::Plugin, clap_plugin_t, on_main_thread, on_main_thread);
SAME(clap::Factory, clap_plugin_factory_t, create, create_plugin);
SAME(clap::Entry, clap_plugin_entry_t, get_factory, get_factory);
SAME(clap::ParameterInfo, clap_param_info_t, initial, default_value);
SAME(clap::Parameters, clap_plugin_params_t, flush, flush);
SAME(clap::HostParameters, clap_host_params_t, request_flush, request_flush);
SAME(clap::PortInfo, clap_audio_port_info_t, in_place_pair, in_place_pair);
SAME(clap::AudioPorts, clap_plugin_audio_ports_t, info, get);
SAME(clap::Latency, clap_plugin_latency_t, frames, get);
SAME(clap::InputStream, clap_istream_t, read, read);
SAME(clap::OutputStream, clap_ostream_t, write, write);
SAME(clap::State, clap_plugin_state_t, load, load);
SAME(vst3::BusInfo, v3_bus_info, flags, flags);
SAME(vst3::Setup, v3_process_setup, sample_rate, sample_rate);
SAME(vst3::Buffers, v3_audio_bus_buffers, data, channel_buffers_32);
SAME(vst3::Data, v3_process_data, context, ctx);
SAME(vst3::Data, v3_process_data, inputs, inputs);
SAME(vst3::ParameterInfo, v3_param_info, flags, flags);
SAME(vst3::ParameterInfo, v3_param_info, initial, default_normalised_value);
SAME(vst3::FactoryInfo, v3_factory_info, flags, flags);
SAME(vst3::ClassInfo, v3_class_info, name, name);
static_assert(sizeof(twinrack::vst3::ClassInfo2) == sizeof(v3_class_info_2));
static_assert(twinrack::clap::value_event == CLAP_EVENT_PARAM_VALUE);
static_assert(twinrack::clap::is_bypass == CLAP_PARAM_IS_BYPASS);
static_assert(twinrack::clap::is_automatable == CLAP_PARAM_IS_AUTOMATABLE);

namespace {

using Rows = std::vector<std::vector<float>>;

struct Event {
  long frame;
  std::uint32_t id;
  double value;
};

struct Job {
  std::string kind, path;
  double rate;
  int channels, keys, block;
  Rows in, out;
  std::vector<float> values;
  std::vector<Event> events;
  std::string state{};  // that is loaded once the plugin is active

  long frames() const { return static_cast<long>(in.front().size()); }
  // From a frame on: a row of channels for the output, then one for the input and each sidechain.
  std::vector<std::vector<float*>> pointers(long at) {
    std::vector<std::vector<float*>> rows(static_cast<std::size_t>(2 + keys));
    for (int c = 0; c < channels; ++c) rows[0].push_back(out[static_cast<std::size_t>(c)].data() + at);
    for (std::size_t i = 0; i < in.size(); ++i) {
      rows[1 + i / static_cast<std::size_t>(channels)].push_back(in[i].data() + at);
    }
    return rows;
  }
};

void* open(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return library;
}

template <class T>
T symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(std::string("no symbol ") + name);
  return reinterpret_cast<T>(found);
}

void play_lv2(Job& job) {
  void* library = open(job.path + "/rack.so");
  const auto describe = symbol<LV2_Lib_Descriptor_Function>(library, "lv2_lib_descriptor");
  const LV2_Feature* features[] = {nullptr};
  const LV2_Lib_Descriptor* all = describe((job.path + "/").c_str(), features);
  if (all == nullptr) throw std::runtime_error("no library descriptor");
  const LV2_Descriptor* plugin = all->get_plugin(all->handle, 0);
  const LV2_Descriptor* alone = symbol<LV2_Descriptor_Function>(library, "lv2_descriptor")(0);
  if (alone == nullptr || std::strcmp(alone->URI, plugin->URI) != 0) throw std::runtime_error("two descriptors differ");
  LV2_Handle handle = plugin->instantiate(plugin, job.rate, (job.path + "/").c_str(), features);
  if (handle == nullptr) throw std::runtime_error("not instantiated");
  const int audio = job.channels * (2 + job.keys);
  for (std::size_t i = 0; i < job.values.size(); ++i) {
    plugin->connect_port(handle, static_cast<std::uint32_t>(audio) + static_cast<std::uint32_t>(i), &job.values[i]);
  }
  if (plugin->activate != nullptr) plugin->activate(handle);
  for (long at = 0; at < job.frames(); at += job.block) {
    const long frames = std::min<long>(job.block, job.frames() - at);
    for (const Event& event : job.events) {
      if (event.frame == at) job.values[event.id] = static_cast<float>(event.value);
    }
    for (int c = 0; c < job.channels; ++c) {
      plugin->connect_port(handle, static_cast<std::uint32_t>(c), job.in[static_cast<std::size_t>(c)].data() + at);
      plugin->connect_port(handle, static_cast<std::uint32_t>(job.channels + c),
                           job.out[static_cast<std::size_t>(c)].data() + at);
    }
    for (int k = 0; k < job.channels * job.keys; ++k) {
      plugin->connect_port(handle, static_cast<std::uint32_t>(2 * job.channels + k),
                           job.in[static_cast<std::size_t>(job.channels + k)].data() + at);
    }
    plugin->run(handle, static_cast<std::uint32_t>(frames));
  }
  std::printf("latency %g\n", static_cast<double>(job.values[1]));
  if (plugin->deactivate != nullptr) plugin->deactivate(handle);
  plugin->cleanup(handle);
  all->cleanup(all->handle);
}

struct Events {
  std::vector<clap_event_param_value_t> all;
  clap_input_events_t list{
      this,
      [](const clap_input_events_t* l) { return static_cast<std::uint32_t>(static_cast<Events*>(l->ctx)->all.size()); },
      [](const clap_input_events_t* l, std::uint32_t i) -> const clap_event_header_t* {
        return &static_cast<Events*>(l->ctx)->all[i].header;
      }};
};

struct Text {
  std::string bytes;
  std::size_t at = 0;
};

const clap_host_t host{CLAP_VERSION,
                       nullptr,
                       "test",
                       "",
                       "",
                       "",
                       [](const clap_host_t*, const char*) -> const void* { return nullptr; },
                       [](const clap_host_t*) {},
                       [](const clap_host_t*) {},
                       [](const clap_host_t*) {}};

template <class T>
const T& extension(const clap_plugin_t* plugin, const char* id) {
  const void* found = plugin->get_extension(plugin, id);
  if (found == nullptr) throw std::runtime_error(std::string("no extension ") + id);
  return *static_cast<const T*>(found);
}

std::string saved(const clap_plugin_t* plugin) {
  Text text;
  const clap_ostream_t stream{&text, [](const clap_ostream_t* s, const void* from, std::uint64_t size) {
                                const std::uint64_t part = std::min<std::uint64_t>(size, 7);  // a slow one
                                static_cast<Text*>(s->ctx)->bytes.append(static_cast<const char*>(from), part);
                                return static_cast<std::int64_t>(part);
                              }};
  if (!extension<clap_plugin_state_t>(plugin, CLAP_EXT_STATE).save(plugin, &stream)) {
    throw std::runtime_error("the state was not saved");
  }
  return text.bytes;
}

bool load(const clap_plugin_t* plugin, const std::string& state) {
  Text text{state};
  const clap_istream_t stream{&text, [](const clap_istream_t* s, void* to, std::uint64_t size) {
                                auto& own = *static_cast<Text*>(s->ctx);
                                const std::size_t part = std::min<std::size_t>({size, 11, own.bytes.size() - own.at});
                                std::memcpy(to, own.bytes.data() + own.at, part);
                                own.at += part;
                                return static_cast<std::int64_t>(part);
                              }};
  return extension<clap_plugin_state_t>(plugin, CLAP_EXT_STATE).load(plugin, &stream);
}

std::vector<double> print_parameters(const clap_plugin_t* plugin, bool print) {
  const auto& params = extension<clap_plugin_params_t>(plugin, CLAP_EXT_PARAMS);
  std::vector<double> values;
  for (std::uint32_t i = 0; i < params.count(plugin); ++i) {
    clap_param_info_t info;
    double value = 0.0, back = 0.0;
    char text[256];
    if (!params.get_info(plugin, i, &info) || !params.get_value(plugin, info.id, &value) ||
        !params.value_to_text(plugin, info.id, value, text, sizeof text) ||
        !params.text_to_value(plugin, info.id, text, &back)) {
      throw std::runtime_error("a parameter says nothing");
    }
    if (print) {
      std::printf("parameter\t%u\t%s\t%s\t%.9g\t%.9g\t%.17g\t%.17g\t%s\t%.9g\t%u\n", info.id, info.module, info.name,
                  info.min_value, info.max_value, info.default_value, value, text, back, info.flags);
    }
    values.push_back(value);
  }
  return values;
}

void check_state(const clap_plugin_factory_t* factory, const clap_plugin_t* plugin, const char* id) {
  const clap_plugin_t* other = factory->create_plugin(factory, &host, id);
  other->init(other);
  const bool loaded = load(other, saved(plugin));
  const bool same = print_parameters(plugin, false) == print_parameters(other, false) && saved(plugin) == saved(other);
  const bool refused = !load(other, "something else\n1 2 3\n") && !load(other, "twinrack-state 1\nbypass banana\n");
  std::printf("state %s\n", loaded && same && refused ? "same" : "differs");
  other->destroy(other);
}

void play_clap(Job& job) {
  void* library = open(job.path);
  const auto* entry = symbol<const clap_plugin_entry_t*>(library, "clap_entry");
  if (!clap_version_is_compatible(entry->clap_version) || !entry->init(job.path.c_str())) {
    throw std::runtime_error("not initialised");
  }
  const auto* factory = static_cast<const clap_plugin_factory_t*>(entry->get_factory(CLAP_PLUGIN_FACTORY_ID));
  const clap_plugin_descriptor_t* described = factory->get_plugin_descriptor(factory, 0);
  std::printf("plugin\t%s\t%s\n", described->id, described->name);
  const clap_plugin_t* plugin = factory->create_plugin(factory, &host, described->id);
  if (plugin == nullptr || !plugin->init(plugin)) throw std::runtime_error("not created");
  print_parameters(plugin, true);
  const auto& ports = extension<clap_plugin_audio_ports_t>(plugin, CLAP_EXT_AUDIO_PORTS);
  clap_audio_port_info_t port;
  if (ports.count(plugin, true) != static_cast<std::uint32_t>(1 + job.keys) || !ports.get(plugin, 0, true, &port) ||
      port.channel_count != static_cast<std::uint32_t>(job.channels)) {
    throw std::runtime_error("other ports than expected");
  }
  if (!plugin->activate(plugin, job.rate, 1, static_cast<std::uint32_t>(job.block))) {
    throw std::runtime_error("not activated");
  }
  plugin->start_processing(plugin);
  if (!job.state.empty() && !load(plugin, job.state)) throw std::runtime_error("the state was refused");
  std::printf("latency %u\n", extension<clap_plugin_latency_t>(plugin, CLAP_EXT_LATENCY).get(plugin));
  const clap_output_events_t none{nullptr,
                                  [](const clap_output_events_t*, const clap_event_header_t*) { return true; }};
  for (long at = 0; at < job.frames(); at += job.block) {
    const long frames = std::min<long>(job.block, job.frames() - at);
    Events events;
    for (const Event& event : job.events) {
      if (event.frame < at || event.frame >= at + frames) continue;
      clap_event_param_value_t e{};
      e.header = {sizeof e, static_cast<std::uint32_t>(event.frame - at), CLAP_CORE_EVENT_SPACE_ID,
                  CLAP_EVENT_PARAM_VALUE, 0};
      e.param_id = event.id;
      e.value = event.value;
      events.all.push_back(e);
    }
    auto pointers = job.pointers(at);
    std::vector<clap_audio_buffer_t> buffers;
    for (auto& row : pointers) {
      buffers.push_back({row.data(), nullptr, static_cast<std::uint32_t>(job.channels), 0, 0});
    }
    clap_process_t now{};
    now.frames_count = static_cast<std::uint32_t>(frames);
    now.audio_inputs = buffers.data() + 1;
    now.audio_outputs = buffers.data();
    now.audio_inputs_count = static_cast<std::uint32_t>(1 + job.keys);
    now.audio_outputs_count = 1;
    now.in_events = &events.list;
    now.out_events = &none;
    if (plugin->process(plugin, &now) == CLAP_PROCESS_ERROR) throw std::runtime_error("a block failed");
  }
  check_state(factory, plugin, described->id);
  plugin->stop_processing(plugin);
  plugin->deactivate(plugin);
  plugin->destroy(plugin);
  entry->deinit();
}

// --- VST3, through the C interfaces of travesty

template <class T>
T& part(void* object, int base) {  // the functions after those of the base
  return *reinterpret_cast<T*>(*static_cast<char**>(object) + static_cast<std::size_t>(base) * sizeof(void*));
}
v3_funknown& unknown(void* object) { return part<v3_funknown>(object, 0); }

// Streams and changes of a host, as tables of functions.
struct Vst3Stream {
  void** table;
  Text text;
  static v3_result read(void* self, void* to, std::int32_t size, std::int32_t* count) {
    Text& own = static_cast<Vst3Stream*>(self)->text;
    const std::size_t part = std::min<std::size_t>({static_cast<std::size_t>(size), 11, own.bytes.size() - own.at});
    std::memcpy(to, own.bytes.data() + own.at, part);
    own.at += part;
    *count = static_cast<std::int32_t>(part);
    return V3_OK;
  }
  static v3_result write(void* self, void* from, std::int32_t size, std::int32_t* count) {
    static_cast<Vst3Stream*>(self)->text.bytes.append(static_cast<const char*>(from), static_cast<std::size_t>(size));
    *count = size;
    return V3_OK;
  }
};
struct Vst3Queue {
  void** table;
  std::uint32_t id;
  std::vector<std::pair<std::int32_t, double>> points;
  static std::uint32_t get_id(void* self) { return static_cast<Vst3Queue*>(self)->id; }
  static std::int32_t count(void* self) {
    return static_cast<std::int32_t>(static_cast<Vst3Queue*>(self)->points.size());
  }
  static v3_result point(void* self, std::int32_t i, std::int32_t* offset, double* value) {
    std::tie(*offset, *value) = static_cast<Vst3Queue*>(self)->points[static_cast<std::size_t>(i)];
    return V3_OK;
  }
};
struct Vst3Changes {
  void** table;
  std::vector<Vst3Queue> queues;
  static std::int32_t count(void* self) {
    return static_cast<std::int32_t>(static_cast<Vst3Changes*>(self)->queues.size());
  }
  static void* queue(void* self, std::int32_t i) {
    return &static_cast<Vst3Changes*>(self)->queues[static_cast<std::size_t>(i)];
  }
};
void* function(auto* f) { return reinterpret_cast<void*>(f); }
void* stream_table[] = {nullptr, nullptr, nullptr, function(&Vst3Stream::read), function(&Vst3Stream::write)};
void* queue_table[] = {
    nullptr, nullptr, nullptr, function(&Vst3Queue::get_id), function(&Vst3Queue::count), function(&Vst3Queue::point)};
void* changes_table[] = {nullptr, nullptr, nullptr, function(&Vst3Changes::count), function(&Vst3Changes::queue)};

std::string narrow(const std::int16_t* text) {
  std::string all;
  for (; *text != 0; ++text) all += *text < 128 ? static_cast<char>(*text) : '?';
  return all;
}

void* asked(void* object, const v3_tuid id) {
  void* found = nullptr;
  if (unknown(object).query_interface(object, id, &found) != V3_OK) throw std::runtime_error("an interface is missing");
  return found;
}

struct Vst3Plugin {
  void *component, *processor, *controller;
  explicit Vst3Plugin(void* factory) {
    auto& f = part<v3_plugin_factory>(factory, 3);
    v3_class_info info;
    f.get_class_info(factory, 0, &info);
    if (f.create_instance(factory, info.class_id, v3_component_iid, &component) != V3_OK) {
      throw std::runtime_error("not created");
    }
    std::printf("plugin\t%s\t%s\n", info.category, info.name);
    part<v3_plugin_base>(component, 3).initialize(component, nullptr);
    processor = asked(component, v3_audio_processor_iid);
    controller = asked(component, v3_edit_controller_iid);
  }
  ~Vst3Plugin() {
    part<v3_plugin_base>(component, 3).terminate(component);
    unknown(processor).unref(processor);
    unknown(controller).unref(controller);
    if (unknown(component).unref(component) != 0) std::printf("a reference is left\n");
  }

  std::vector<double> parameters(bool print) {
    auto& c = part<v3_edit_controller>(controller, 5);
    std::vector<double> values;
    for (std::int32_t i = 0; i < c.get_parameter_count(controller); ++i) {
      v3_param_info info;
      std::int16_t text[128];
      double back = 0.0;
      c.get_parameter_info(controller, i, &info);
      const double value = c.get_parameter_normalised(controller, info.param_id);
      if (c.get_parameter_string_for_value(controller, info.param_id, value, text) != V3_OK ||
          c.get_parameter_value_for_string(controller, info.param_id, text, &back) != V3_OK) {
        throw std::runtime_error("a parameter says nothing");
      }
      if (print) {
        std::printf("parameter\t%u\t%s\t%s\t%d\t%.17g\t%.17g\t%s\t%.9g\t%d\n", info.param_id,
                    narrow(info.title).c_str(), narrow(info.units).c_str(), info.step_count,
                    info.default_normalised_value, value, narrow(text).c_str(), back, info.flags);
      }
      values.push_back(value);
    }
    return values;
  }
  std::string saved() {
    Vst3Stream stream{stream_table, {}};
    void* pointer = &stream;
    part<v3_component>(component, 5).get_state(component, static_cast<v3_bstream**>(pointer));
    return stream.text.bytes;
  }
  bool load(const std::string& state) {
    Vst3Stream stream{stream_table, {state}};
    void* pointer = &stream;
    return part<v3_component>(component, 5).set_state(component, static_cast<v3_bstream**>(pointer)) == V3_OK;
  }
};

void play_vst3(Job& job) {
  std::string name = job.path.substr(job.path.find_last_of('/') + 1);
  name.resize(name.rfind('.'));
  void* library = open(job.path + "/Contents/" MACHINE "-linux/" + name + ".so");
  if (!symbol<bool (*)(void*)>(library, "ModuleEntry")(library)) throw std::runtime_error("not entered");
  void* factory = symbol<void* (*)()>(library, "GetPluginFactory")();
  if (factory == nullptr) throw std::runtime_error("no factory");
  {
    Vst3Plugin plugin(factory), other(factory);
    plugin.parameters(true);
    auto& component = part<v3_component>(plugin.component, 5);
    auto& processor = part<v3_audio_processor>(plugin.processor, 3);
    if (component.get_bus_count(plugin.component, V3_AUDIO, V3_INPUT) != 1 + job.keys) {
      throw std::runtime_error("other buses than expected");
    }
    v3_process_setup setup{V3_REALTIME, V3_SAMPLE_32, job.block, job.rate};
    processor.setup_processing(plugin.processor, &setup);
    const auto early = processor.get_latency_samples(plugin.processor);  // where JUCE's hosts ask, and never again
    for (int k = 1; k <= job.keys; ++k) component.activate_bus(plugin.component, V3_AUDIO, V3_INPUT, k, 1);
    if (component.set_active(plugin.component, 1) != V3_OK) throw std::runtime_error("not activated");
    if (processor.get_latency_samples(plugin.processor) != early) throw std::runtime_error("the latency came too late");
    processor.set_processing(plugin.processor, 1);
    if (!job.state.empty() && !plugin.load(job.state)) throw std::runtime_error("the state was refused");
    std::printf("latency %u\n", processor.get_latency_samples(plugin.processor));
    for (long at = 0; at < job.frames(); at += job.block) {
      const long frames = std::min<long>(job.block, job.frames() - at);
      Vst3Changes changes{changes_table, {}};
      for (const Event& event : job.events) {
        if (event.frame < at || event.frame >= at + frames) continue;
        const std::pair<std::int32_t, double> point{static_cast<std::int32_t>(event.frame - at), event.value};
        auto known = std::find_if(changes.queues.begin(), changes.queues.end(),
                                  [&](const Vst3Queue& q) { return q.id == event.id; });
        if (known == changes.queues.end()) known = changes.queues.insert(known, {queue_table, event.id, {}});
        known->points.push_back(point);
      }
      auto pointers = job.pointers(at);
      std::vector<v3_audio_bus_buffers> buffers;
      for (auto& row : pointers) buffers.push_back({job.channels, 0, {row.data()}});
      v3_process_data now{};
      void* change_pointer = &changes;
      now.nframes = static_cast<std::int32_t>(frames);
      now.num_input_buses = 1 + job.keys;
      now.num_output_buses = 1;
      now.inputs = buffers.data() + 1;
      now.outputs = buffers.data();
      now.input_params = static_cast<v3_param_changes**>(change_pointer);
      if (processor.process(plugin.processor, &now) != V3_OK) throw std::runtime_error("a block failed");
    }
    const bool loaded = other.load(plugin.saved());
    const bool same = plugin.parameters(false) == other.parameters(false) && plugin.saved() == other.saved();
    const bool refused = !other.load("something else\n1 2 3\n") && !other.load("twinrack-state 1\nbypass banana\n");
    std::printf("state %s\n", loaded && same && refused ? "same" : "differs");
    processor.set_processing(plugin.processor, 0);
    component.set_active(plugin.component, 0);
  }
  symbol<bool (*)()>(library, "ModuleExit")();
}

Rows read(const std::string& path, int rows) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::size_t>(in.tellg()) / sizeof(float) / static_cast<std::size_t>(rows);
  in.seekg(0);
  Rows all(static_cast<std::size_t>(rows), std::vector<float>(size));
  for (auto& row : all)
    in.read(reinterpret_cast<char*>(row.data()), static_cast<std::streamsize>(size * sizeof(float)));
  if (!in) throw std::runtime_error("the input cannot be read");
  return all;
}

}  // namespace

int main(int count, char** given) {
  try {
    if (count < 9) throw std::runtime_error("too few arguments");
    Job job{
        given[1], given[2], std::atof(given[3]), std::atoi(given[4]), std::atoi(given[5]), std::atoi(given[6]), {}, {},
        {},       {}};
    job.in = read(given[7], job.channels * (1 + job.keys));
    job.out.assign(static_cast<std::size_t>(job.channels), std::vector<float>(job.in.front().size()));
    for (int i = 9; i < count; ++i) {
      Event event{};
      if (std::strncmp(given[i], "state=", 6) == 0) {
        job.state = given[i] + 6;
      } else if (std::sscanf(given[i], "%ld:%u:%lf", &event.frame, &event.id, &event.value) == 3) {
        job.events.push_back(event);
      } else {
        job.values.push_back(static_cast<float>(std::atof(given[i])));
      }
    }
    job.kind == "lv2" ? play_lv2(job) : job.kind == "clap" ? play_clap(job) : play_vst3(job);
    std::ofstream out(given[8], std::ios::binary);
    for (const auto& row : job.out) {
      out.write(reinterpret_cast<const char*>(row.data()), static_cast<std::streamsize>(row.size() * sizeof(float)));
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
