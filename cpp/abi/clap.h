// The part of CLAP's C interface that the engine needs (github.com/free-audio/clap, version 1.1.1 and later), declared
// from its specification.
#pragma once

#include <cstdint>

#include "rt/realtime.h"

namespace twinrack::clap {

struct Version {
  std::uint32_t major, minor, revision;
};
inline constexpr Version version{1, 1, 1};

struct Host {
  Version version;
  void* data;
  const char *name, *vendor, *url, *product_version;
  const void* (*get_extension)(const Host*, const char* id);
  void (*request_restart)(const Host*);
  void (*request_process)(const Host*);
  void (*request_callback)(const Host*);
};

struct EventHeader {
  std::uint32_t size, time;
  std::uint16_t space, type;
  std::uint32_t flags;
};
inline constexpr std::uint16_t core_space = 0, value_event = 5;

struct ValueEvent {
  EventHeader header;
  std::uint32_t parameter;
  void* cookie;
  std::int32_t note;
  std::int16_t port, channel, key;
  double value;
};

// A key that is pressed or let go.
struct NoteEvent {
  EventHeader header;
  std::int32_t note;
  std::int16_t port, channel, key;
  double velocity;
};
inline constexpr std::uint16_t note_on_event = 0, note_off_event = 1;

struct MidiEvent {
  EventHeader header;
  std::uint16_t port;
  std::uint8_t bytes[3];
};
inline constexpr std::uint16_t midi_event = 10;

struct InputEvents {
  void* context;
  std::uint32_t (*size)(const InputEvents*) noexcept TR_RT;
  const EventHeader* (*get)(const InputEvents*, std::uint32_t index) noexcept TR_RT;
};

struct OutputEvents {
  void* context;
  bool (*try_push)(const OutputEvents*, const EventHeader*) noexcept TR_RT;
};

struct AudioBuffer {
  float** data32;
  double** data64;
  std::uint32_t channels, latency;
  std::uint64_t constant_mask;
};

// The place on the timeline; beats and seconds are counted in parts of 2^31.
struct TransportEvent {
  EventHeader header;
  std::uint32_t flags;
  std::int64_t beats, seconds;
  double tempo, tempo_step;
  std::int64_t loop_start_beats, loop_end_beats, loop_start_seconds, loop_end_seconds;
  std::int64_t bar_start;
  std::int32_t bar;
  std::uint16_t numerator, denominator;
};
inline constexpr std::uint16_t transport_event = 9;
inline constexpr std::uint32_t has_tempo_beats_seconds_signature_and_plays = 0x1f;
inline constexpr double fixed_point = 2147483648.0;

struct Process {
  std::int64_t steady_time;
  std::uint32_t frames;
  const TransportEvent* transport;
  const AudioBuffer* inputs;
  AudioBuffer* outputs;
  std::uint32_t input_count, output_count;
  const InputEvents* in_events;
  const OutputEvents* out_events;
};
inline constexpr std::int32_t process_error = 0, process_continue = 1;

struct Descriptor {
  Version version;
  const char *id, *name, *vendor, *url, *manual_url, *support_url, *product_version, *description;
  const char* const* features;
};

struct Plugin {
  const Descriptor* descriptor;
  void* data;
  bool (*init)(const Plugin*);
  void (*destroy)(const Plugin*);
  bool (*activate)(const Plugin*, double sample_rate, std::uint32_t least_frames, std::uint32_t most_frames);
  void (*deactivate)(const Plugin*);
  bool (*start_processing)(const Plugin*);
  void (*stop_processing)(const Plugin*);
  void (*reset)(const Plugin*);
  std::int32_t (*process)(const Plugin*, const Process*);
  const void* (*get_extension)(const Plugin*, const char* id);
  void (*on_main_thread)(const Plugin*);
};

struct Factory {
  std::uint32_t (*count)(const Factory*);
  const Descriptor* (*descriptor)(const Factory*, std::uint32_t index);
  const Plugin* (*create)(const Factory*, const Host*, const char* id);
};
inline constexpr char factory_id[] = "clap.plugin-factory";

struct Entry {
  Version version;
  bool (*init)(const char* path);
  void (*deinit)();
  const void* (*get_factory)(const char* id);
};

inline constexpr std::size_t name_size = 256, path_size = 1024;

struct ParameterInfo {
  std::uint32_t id, flags;
  void* cookie;
  char name[name_size];
  char module[path_size];
  double min, max, initial;
};
inline constexpr std::uint32_t is_stepped = 1u << 0, is_hidden = 1u << 2, is_read_only = 1u << 3, is_bypass = 1u << 4,
                               is_automatable = 1u << 5, is_enumeration = 1u << 16;

struct Parameters {
  std::uint32_t (*count)(const Plugin*);
  bool (*info)(const Plugin*, std::uint32_t index, ParameterInfo*);
  bool (*value)(const Plugin*, std::uint32_t id, double*);
  bool (*to_text)(const Plugin*, std::uint32_t id, double value, char* text, std::uint32_t size);
  bool (*to_value)(const Plugin*, std::uint32_t id, const char* text, double* value);
  void (*flush)(const Plugin*, const InputEvents*, const OutputEvents*);
};
inline constexpr char parameters_id[] = "clap.params";

struct HostParameters {
  void (*rescan)(const Host*, std::uint32_t flags);
  void (*clear)(const Host*, std::uint32_t id, std::uint32_t flags);
  void (*request_flush)(const Host*);
};
inline constexpr std::uint32_t rescan_values = 1u << 0;

struct PortInfo {
  std::uint32_t id;
  char name[name_size];
  std::uint32_t flags, channels;
  const char* type;
  std::uint32_t in_place_pair;
};
inline constexpr std::uint32_t is_main_port = 1u << 0, no_id = 0xffffffffu;

struct AudioPorts {
  std::uint32_t (*count)(const Plugin*, bool is_input);
  bool (*info)(const Plugin*, std::uint32_t index, bool is_input, PortInfo*);
};
inline constexpr char audio_ports_id[] = "clap.audio-ports";

struct NotePortInfo {
  std::uint32_t id, dialects, preferred;
  char name[name_size];
};
inline constexpr std::uint32_t as_notes = 1u << 0, as_midi = 1u << 1;

struct NotePorts {
  std::uint32_t (*count)(const Plugin*, bool is_input);
  bool (*info)(const Plugin*, std::uint32_t index, bool is_input, NotePortInfo*);
};
inline constexpr char note_ports_id[] = "clap.note-ports";

struct Latency {
  std::uint32_t (*frames)(const Plugin*);
};
inline constexpr char latency_id[] = "clap.latency";

struct HostLatency {
  void (*changed)(const Host*);
};

struct HostThreads {
  bool (*is_main)(const Host*);
  bool (*is_audio)(const Host*);
};
inline constexpr char threads_id[] = "clap.thread-check";

struct HostLog {
  void (*log)(const Host*, std::int32_t severity, const char* message);
};
inline constexpr char log_id[] = "clap.log";

struct HostState {
  void (*mark_dirty)(const Host*);
};

struct Tail {
  std::uint32_t (*frames)(const Plugin*);
};
inline constexpr char tail_id[] = "clap.tail";

// A plugin's window, and what it needs to serve it.
struct Window {
  const char* api;
  unsigned long x11;
};
inline constexpr char x11_api[] = "x11";

struct Gui {
  bool (*supports)(const Plugin*, const char* api, bool floats);
  bool (*preferred)(const Plugin*, const char** api, bool* floats);
  bool (*create)(const Plugin*, const char* api, bool floats);
  void (*destroy)(const Plugin*);
  bool (*set_scale)(const Plugin*, double scale);
  bool (*size)(const Plugin*, std::uint32_t* width, std::uint32_t* height);
  bool (*can_resize)(const Plugin*);
  bool (*resize_hints)(const Plugin*, void* hints);
  bool (*adjust_size)(const Plugin*, std::uint32_t* width, std::uint32_t* height);
  bool (*set_size)(const Plugin*, std::uint32_t width, std::uint32_t height);
  bool (*set_parent)(const Plugin*, const Window*);
  bool (*set_transient)(const Plugin*, const Window*);
  void (*suggest_title)(const Plugin*, const char* title);
  bool (*show)(const Plugin*);
  bool (*hide)(const Plugin*);
};
struct HostGui {
  void (*resize_hints_changed)(const Host*);
  bool (*request_resize)(const Host*, std::uint32_t width, std::uint32_t height);
  bool (*request_show)(const Host*);
  bool (*request_hide)(const Host*);
  void (*closed)(const Host*, bool was_destroyed);
};
inline constexpr char gui_id[] = "clap.gui";

struct Timers {
  void (*on_timer)(const Plugin*, std::uint32_t id);
};
struct HostTimers {
  bool (*add)(const Host*, std::uint32_t period_ms, std::uint32_t* id);
  bool (*remove)(const Host*, std::uint32_t id);
};
inline constexpr char timers_id[] = "clap.timer-support";

struct Files {
  void (*on_file)(const Plugin*, int file, std::uint32_t flags);
};
struct HostFiles {
  bool (*add)(const Host*, int file, std::uint32_t flags);
  bool (*modify)(const Host*, int file, std::uint32_t flags);
  bool (*remove)(const Host*, int file);
};
inline constexpr char files_id[] = "clap.posix-fd-support";
inline constexpr std::uint32_t can_read = 1u << 0, can_write = 1u << 1, has_error = 1u << 2;

struct InputStream {
  void* context;
  std::int64_t (*read)(const InputStream*, void* to, std::uint64_t size);
};
struct OutputStream {
  void* context;
  std::int64_t (*write)(const OutputStream*, const void* from, std::uint64_t size);
};

struct State {
  bool (*save)(const Plugin*, const OutputStream*);
  bool (*load)(const Plugin*, const InputStream*);
};
inline constexpr char state_id[] = "clap.state";

// Presets: a factory tells which there are, and an extension loads one. Of kind `in_plugin` they are inside the
// library, and have no path. (CLAP 1.2; until then under the names of drafts.)
enum PresetPlace : std::uint32_t { in_file = 0, in_plugin = 1 };

struct PresetLoad {
  bool (*load)(const Plugin*, std::uint32_t kind, const char* path, const char* key);
};
struct HostPresetLoad {
  void (*failed)(const Host*, std::uint32_t kind, const char* path, const char* key, std::int32_t os_error,
                 const char* message);
  void (*loaded)(const Host*, std::uint32_t kind, const char* path, const char* key);
};
inline constexpr const char* preset_load_ids[] = {"clap.preset-load/2", "clap.preset-load.draft/2"};

struct PluginId {
  const char *format, *id;
};
struct PresetReceiver {
  void* data;
  void (*failed)(const PresetReceiver*, std::int32_t os_error, const char* message);
  bool (*begin)(const PresetReceiver*, const char* name, const char* key);
  void (*add_plugin)(const PresetReceiver*, const PluginId*);
  void (*set_soundpack)(const PresetReceiver*, const char* id);
  void (*set_flags)(const PresetReceiver*, std::uint32_t flags);
  void (*add_creator)(const PresetReceiver*, const char* creator);
  void (*set_description)(const PresetReceiver*, const char* description);
  void (*set_times)(const PresetReceiver*, std::uint64_t made, std::uint64_t changed);
  void (*add_feature)(const PresetReceiver*, const char* feature);
  void (*add_extra)(const PresetReceiver*, const char* key, const char* value);
};
struct PresetLocation {
  std::uint32_t flags;
  const char* name;
  std::uint32_t kind;
  const char* path;
};
inline constexpr std::uint32_t is_factory_content = 1u << 0;
struct PresetIndexer {
  Version version;
  const char *name, *vendor, *url, *product_version;
  void* data;
  bool (*add_file_type)(const PresetIndexer*, const void* type);
  bool (*add_location)(const PresetIndexer*, const PresetLocation*);
  bool (*add_soundpack)(const PresetIndexer*, const void* pack);
  const void* (*get_extension)(const PresetIndexer*, const char* id);
};
struct PresetProviderDescriptor {
  Version version;
  const char *id, *name, *vendor;
};
struct PresetProvider {
  const PresetProviderDescriptor* descriptor;
  void* data;
  bool (*init)(const PresetProvider*);
  void (*destroy)(const PresetProvider*);
  bool (*tell)(const PresetProvider*, std::uint32_t kind, const char* path, const PresetReceiver*);
  const void* (*get_extension)(const PresetProvider*, const char* id);
};
struct PresetFactory {
  std::uint32_t (*count)(const PresetFactory*);
  const PresetProviderDescriptor* (*descriptor)(const PresetFactory*, std::uint32_t index);
  const PresetProvider* (*create)(const PresetFactory*, const PresetIndexer*, const char* id);
};
inline constexpr const char* preset_factory_ids[] = {"clap.preset-discovery-factory/2",
                                                     "clap.preset-discovery-factory/draft-2"};

}  // namespace twinrack::clap
