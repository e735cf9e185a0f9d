// The part of VST3's interfaces that the engine needs, declared from their specification: classes with virtual
// functions in this order, and ids of 16 bytes. Not for Windows, whose calls and ids differ.
#pragma once

#include <cstdint>

#include "rt/realtime.h"

namespace twinrack::vst3 {

using Result = std::int32_t;
inline constexpr Result no_interface = -1, ok = 0, no = 1, invalid = 2, not_implemented = 3, not_initialised = 5;

using Id = std::uint8_t[16];
using Text = char16_t[128];

// As the interfaces are numbered: four words, the highest byte first.
struct InterfaceId {
  constexpr InterfaceId(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    const std::uint32_t words[] = {a, b, c, d};
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(words[i / 4] >> (24 - 8 * (i % 4)));
  }
  std::uint8_t bytes[16]{};
};

struct Unknown {
  static constexpr InterfaceId id{0x00000000, 0x00000000, 0xC0000000, 0x00000046};
  virtual Result query_interface(const Id id, void** object) = 0;
  virtual std::uint32_t add_reference() = 0;
  virtual std::uint32_t release() = 0;

 protected:
  ~Unknown() = default;
};

struct Stream : Unknown {
  static constexpr InterfaceId id{0xC3BF6EA2, 0x30994752, 0x9B6BF990, 0x1EE33E9B};
  virtual Result read(void* to, std::int32_t size, std::int32_t* count) = 0;
  virtual Result write(void* from, std::int32_t size, std::int32_t* count) = 0;
  virtual Result seek(std::int64_t position, std::int32_t mode, std::int64_t* result) = 0;
  virtual Result tell(std::int64_t* position) = 0;
};

struct PluginBase : Unknown {
  static constexpr InterfaceId id{0x22888DDB, 0x156E45AE, 0x8358B348, 0x08190625};
  virtual Result initialise(Unknown* context) = 0;
  virtual Result terminate() = 0;
};

struct BusInfo {
  std::int32_t media, direction, channels;
  Text name;
  std::int32_t type;
  std::uint32_t flags;
};
inline constexpr std::int32_t audio = 0, events = 1, input = 0, output = 1, main_bus = 0, side_bus = 1;
inline constexpr std::uint32_t active_at_first = 1;

struct Component : PluginBase {
  static constexpr InterfaceId id{0xE831FF31, 0xF2D54301, 0x928EBBEE, 0x25697802};
  virtual Result get_controller_class(Id id) = 0;
  virtual Result set_io_mode(std::int32_t mode) = 0;
  virtual std::int32_t bus_count(std::int32_t media, std::int32_t direction) = 0;
  virtual Result bus_info(std::int32_t media, std::int32_t direction, std::int32_t index, BusInfo* info) = 0;
  virtual Result routing(void* in, void* out) = 0;
  virtual Result activate_bus(std::int32_t media, std::int32_t direction, std::int32_t index, std::uint8_t on) = 0;
  virtual Result set_active(std::uint8_t on) = 0;
  virtual Result set_state(Stream* stream) = 0;
  virtual Result get_state(Stream* stream) = 0;
};

struct Setup {
  std::int32_t mode, sample_size, most_frames;
  double sample_rate;
};

// On the audio thread; the host promises that they do not wait.
struct ValueQueue : Unknown {
  static constexpr InterfaceId id{0x01263A18, 0xED074F6F, 0x98C9D356, 0x4686F9BA};
  virtual std::uint32_t parameter() noexcept TR_RT = 0;
  virtual std::int32_t points() noexcept TR_RT = 0;
  virtual Result point(std::int32_t index, std::int32_t* offset, double* value) noexcept TR_RT = 0;
  virtual Result add(std::int32_t offset, double value, std::int32_t* index) noexcept TR_RT = 0;
};
struct Changes : Unknown {
  static constexpr InterfaceId id{0xA4779663, 0x0BB64A56, 0xB44384A8, 0x466FEB9D};
  virtual std::int32_t count() noexcept TR_RT = 0;
  virtual ValueQueue* queue(std::int32_t index) noexcept TR_RT = 0;
  virtual ValueQueue* add(const std::uint32_t& parameter, std::int32_t* index) noexcept TR_RT = 0;
};

struct Buffers {
  std::int32_t channels;
  std::uint64_t silent;
  float** data;
};

// The place on the timeline.
struct Context {
  std::uint32_t flags;
  double sample_rate;
  std::int64_t frame, system_ns, continuous_frame;
  double beat, bar_start, loop_start, loop_end, bpm;
  std::int32_t numerator, denominator;
  std::uint8_t chord_key, chord_root;
  std::int16_t chord_mask;
  std::int32_t smpte_offset;
  std::uint32_t smpte_fps, smpte_flags;
  std::int32_t to_next_clock;
};
inline constexpr std::uint32_t is_playing = 1 << 1, has_beat = 1 << 9, has_tempo = 1 << 10, has_bar = 1 << 11,
                               has_signature = 1 << 13, has_continuous_frame = 1 << 17;

// Keys, in a block.
struct NoteOn {
  std::int16_t channel, pitch;
  float tuning, velocity;
  std::int32_t length, note;
};
struct NoteOff {
  std::int16_t channel, pitch;
  float velocity;
  std::int32_t note;
  float tuning;
};
struct PolyPressure {
  std::int16_t channel, pitch;
  float pressure;
  std::int32_t note;
};
struct Event {
  std::int32_t bus, offset;
  double beat;
  std::uint16_t flags, type;
  union {
    NoteOn note_on;
    NoteOff note_off;
    PolyPressure poly_pressure;
    std::uint64_t longest[3];
  };
};
inline constexpr std::uint16_t note_on_event = 0, note_off_event = 1, poly_pressure_event = 3;
struct EventList : Unknown {
  static constexpr InterfaceId id{0x3A2C4214, 0x346349FE, 0xB2C4F397, 0xB9695A44};
  virtual std::int32_t count() noexcept TR_RT = 0;
  virtual Result get(std::int32_t index, Event* event) noexcept TR_RT = 0;
  virtual Result add(Event* event) noexcept TR_RT = 0;
};

struct Data {
  std::int32_t mode, sample_size, frames, input_count, output_count;
  Buffers* inputs;
  Buffers* outputs;
  Changes* input_changes;
  Changes* output_changes;
  EventList* input_events;
  EventList* output_events;
  Context* context;
};

using Arrangement = std::uint64_t;  // a bit for each loudspeaker
inline constexpr Arrangement mono = 1ull << 19, stereo = 3;

struct Processor : Unknown {
  static constexpr InterfaceId id{0x42043F99, 0xB7DA453C, 0xA569E79D, 0x9AAEC33D};
  virtual Result set_arrangements(Arrangement* in, std::int32_t in_count, Arrangement* out, std::int32_t out_count) = 0;
  virtual Result get_arrangement(std::int32_t direction, std::int32_t index, Arrangement* arrangement) = 0;
  virtual Result takes_sample_size(std::int32_t size) = 0;
  virtual std::uint32_t latency() = 0;
  virtual Result setup(Setup* setup) = 0;
  virtual Result set_processing(std::uint8_t on) noexcept TR_RT = 0;
  virtual Result process(Data* data) noexcept TR_RT = 0;
  virtual std::uint32_t tail() = 0;
};

struct ParameterInfo {
  std::uint32_t id;
  Text title, short_title, unit;
  std::int32_t steps;
  double initial;
  std::int32_t unit_id, flags;
};
inline constexpr std::int32_t is_automatable = 1, is_read_only = 1 << 1, is_list = 1 << 3, is_hidden = 1 << 4,
                              is_program = 1 << 15, is_bypass = 1 << 16;

struct Handler : Unknown {
  static constexpr InterfaceId id{0x93A0BEA3, 0x0BD045DB, 0x8E890B0C, 0xC1E46AC6};
  virtual Result begin_edit(std::uint32_t parameter) = 0;
  virtual Result perform_edit(std::uint32_t parameter, double value) = 0;
  virtual Result end_edit(std::uint32_t parameter) = 0;
  virtual Result restart(std::int32_t flags) = 0;
};
inline constexpr std::int32_t reload = 1 << 0, values_changed = 1 << 2, latency_changed = 1 << 3;

struct Controller : PluginBase {
  static constexpr InterfaceId id{0xDCD7BBE3, 0x7742448D, 0xA874AACC, 0x979C759E};
  virtual Result set_component_state(Stream* stream) = 0;
  virtual Result set_state(Stream* stream) = 0;
  virtual Result get_state(Stream* stream) = 0;
  virtual std::int32_t parameter_count() = 0;
  virtual Result parameter_info(std::int32_t index, ParameterInfo* info) = 0;
  virtual Result to_text(std::uint32_t parameter, double position, Text text) = 0;
  virtual Result from_text(std::uint32_t parameter, char16_t* text, double* position) = 0;
  virtual double to_value(std::uint32_t parameter, double position) = 0;
  virtual double to_position(std::uint32_t parameter, double value) = 0;
  virtual double position(std::uint32_t parameter) = 0;
  virtual Result set_position(std::uint32_t parameter, double position) = 0;
  virtual Result set_handler(Handler* handler) = 0;
  virtual void* create_view(const char* name) = 0;
};

// Controllers of MIDI reach a plugin as values.
struct MidiMapping : Unknown {
  static constexpr InterfaceId id{0xDF0FF9F7, 0x49B74669, 0xB63AB732, 0x7ADBF5E5};
  virtual Result parameter(std::int32_t bus, std::int16_t channel, std::int16_t controller, std::uint32_t* id) = 0;
};
inline constexpr std::int16_t pressure_controller = 128, bend_controller = 129;

struct FactoryInfo {
  char vendor[64], url[256], mail[128];
  std::int32_t flags;
};
inline constexpr std::int32_t unicode = 1 << 4;

struct ClassInfo {
  Id id;
  std::int32_t instances;
  char category[32], name[64];
};
struct ClassInfo2 : ClassInfo {
  std::uint32_t flags;
  char sub_categories[128], vendor[64], version[64], sdk_version[64];
};
inline constexpr std::int32_t many_instances = 0x7fffffff;

struct Factory : Unknown {
  static constexpr InterfaceId id{0x7A4D811C, 0x52114A1F, 0xAED9D2EE, 0x0B43BF9F};
  virtual Result info(FactoryInfo* info) = 0;
  virtual std::int32_t class_count() = 0;
  virtual Result class_info(std::int32_t index, ClassInfo* info) = 0;
  virtual Result create(const char* class_id, const char* interface_id, void** object) = 0;
};
struct Factory2 : Factory {
  static constexpr InterfaceId id{0x0007B650, 0xF24B4C0B, 0xA464EDB9, 0xF00B2ABB};
  virtual Result class_info_2(std::int32_t index, ClassInfo2* info) = 0;
};

// Component and controller talk through messages that the host makes.
struct Attributes : Unknown {
  static constexpr InterfaceId id{0x1E5F0AEB, 0xCC7F4533, 0xA2544011, 0x38AD5EE4};
  virtual Result set_integer(const char* name, std::int64_t value) = 0;
  virtual Result get_integer(const char* name, std::int64_t* value) = 0;
  virtual Result set_number(const char* name, double value) = 0;
  virtual Result get_number(const char* name, double* value) = 0;
  virtual Result set_text(const char* name, const char16_t* value) = 0;
  virtual Result get_text(const char* name, char16_t* value, std::uint32_t bytes) = 0;
  virtual Result set_bytes(const char* name, const void* value, std::uint32_t size) = 0;
  virtual Result get_bytes(const char* name, const void** value, std::uint32_t* size) = 0;
};
struct Message : Unknown {
  static constexpr InterfaceId id{0x936F033B, 0xC6C047DB, 0xBB0882F8, 0x13C1E613};
  virtual const char* name() = 0;
  virtual void set_name(const char* name) = 0;
  virtual Attributes* attributes() = 0;
};
struct Connection : Unknown {
  static constexpr InterfaceId id{0x70A4156F, 0x6E6E4026, 0x989148BF, 0xAA60D8D1};
  virtual Result connect(Connection* other) = 0;
  virtual Result disconnect(Connection* other) = 0;
  virtual Result notify(Message* message) = 0;
};
struct HostApplication : Unknown {
  static constexpr InterfaceId id{0x58E595CC, 0xDB2D4969, 0x8B6AAF8C, 0x36A664E5};
  virtual Result name(Text name) = 0;
  virtual Result create(const Id class_id, const Id interface_id, void** object) = 0;
};

// A plugin's window, and what it needs to serve it.
struct Rectangle {
  std::int32_t left, top, right, bottom;
};
struct View;
struct Frame : Unknown {
  static constexpr InterfaceId id{0x367FAF01, 0xAFA94693, 0x8D4DA2A0, 0xED0882A3};
  virtual Result resize(View* view, Rectangle* size) = 0;
};
struct View : Unknown {
  static constexpr InterfaceId id{0x5BC32507, 0xD06049EA, 0xA6151B52, 0x2B755B29};
  virtual Result supports(const char* platform) = 0;
  virtual Result attached(void* parent, const char* platform) = 0;
  virtual Result removed() = 0;
  virtual Result on_wheel(float distance) = 0;
  virtual Result on_key_down(char16_t key, std::int16_t code, std::int16_t modifiers) = 0;
  virtual Result on_key_up(char16_t key, std::int16_t code, std::int16_t modifiers) = 0;
  virtual Result size(Rectangle* size) = 0;
  virtual Result on_size(Rectangle* size) = 0;
  virtual Result on_focus(std::uint8_t has) = 0;
  virtual Result set_frame(Frame* frame) = 0;
  virtual Result can_resize() = 0;
  virtual Result check_size(Rectangle* size) = 0;
};
inline constexpr char x11_platform[] = "X11EmbedWindowID", editor_view[] = "editor";

struct FileListener : Unknown {
  static constexpr InterfaceId id{0x561E65C9, 0x13A0496F, 0x813A2C35, 0x654D7983};
  virtual void on_file(int file) = 0;
};
struct TimerListener : Unknown {
  static constexpr InterfaceId id{0x10BDD94F, 0x41424774, 0x821FAD8F, 0xECA72CA9};
  virtual void on_timer() = 0;
};
struct RunLoop : Unknown {
  static constexpr InterfaceId id{0x18C35366, 0x97764F1A, 0x9C5B8385, 0x7A871389};
  virtual Result add_file(FileListener* listener, int file) = 0;
  virtual Result remove_file(FileListener* listener) = 0;
  virtual Result add_timer(TimerListener* listener, std::uint64_t period_ms) = 0;
  virtual Result remove_timer(TimerListener* listener) = 0;
};

struct UnitInfo {
  std::int32_t id, parent;
  Text name;
  std::int32_t programs;
};
// The programs of a unit, by number.
struct ProgramList {
  std::int32_t id;
  Text name;
  std::int32_t count;
};
inline constexpr std::int32_t root_unit = 0, no_parent = -1, no_programs = -1;
struct Units : Unknown {
  static constexpr InterfaceId id{0x3D4BD6B5, 0x913A4FD2, 0xA886E768, 0xA5EB92C1};
  virtual std::int32_t unit_count() = 0;
  virtual Result unit_info(std::int32_t index, UnitInfo* info) = 0;
  virtual std::int32_t program_list_count() = 0;
  virtual Result program_list(std::int32_t index, ProgramList* list) = 0;
  virtual Result program_name(std::int32_t list, std::int32_t program, Text name) = 0;
  virtual Result program_attribute(std::int32_t list, std::int32_t program, const char* name, Text value) = 0;
  virtual Result has_pitch_names(std::int32_t list, std::int32_t program) = 0;
  virtual Result pitch_name(std::int32_t list, std::int32_t program, std::int16_t pitch, Text name) = 0;
  virtual std::int32_t selected_unit() = 0;
  virtual Result select_unit(std::int32_t unit) = 0;
  virtual Result unit_of_bus(std::int32_t media, std::int32_t direction, std::int32_t bus, std::int32_t channel,
                             std::int32_t* unit) = 0;
  virtual Result set_program_data(std::int32_t list_or_unit, std::int32_t program, Stream* data) = 0;
};

}  // namespace twinrack::vst3
