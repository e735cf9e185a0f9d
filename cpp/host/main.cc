// twinrack-host: one plugin of another maker in a process of its own, so that what it does wrong happens here.
//
// It is started by twinrack with a socket for control (file 3) and shared memory for sound (file 4). A request is a
// line of words, an answer is "ok SIZE" or "error SIZE" and so many bytes: JSON or text, or a sentence.
//
//     list                                  every LV2 plugin of this machine
//     scan FORMAT PATH                      every plugin in a file or bundle
//     describe FORMAT PATH ADDRESS          one of them
//     load FORMAT PATH ADDRESS RATE BLOCK   instantiates it; the memory then has BLOCK frames for each input and output
//     run FRAMES                            plays
//     latency                               as it reports now
//     latency-played                        once silence has played, in an instance of its own
//     join CHANNELS KEYS BLOCKS SIDECHAINS PORT…  instead of run: the memory is a ring that the engine fills,
//                                           SIDECHAINS a 0 or 1 for each input, PORT… the controls that its values go
//                                           to
//     pump                                  plays all blocks of the ring that wait; how many
//     play                                  plays them as they come, from now on
//     edit TITLE, close, is-open            its own window
//     moved PORT VALUE                      this value will come by the ring, and is one that was moved in the window
//     allocations                           during all runs so far
//     set PORT VALUE, values                moves a control; all of them
//     tempo FRAME BEAT FRAME BEAT …         the beats of the timeline, before it plays
//     midi FRAME BYTES FRAME BYTES …        its messages, three bytes in hexadecimal each, after those before
//     send BYTES                            one for the next block
//     scale PORT log|linear NUMBER OWN …    both are numbers in a unit, from now on; OWN as the plugin knows them
//     reset, save, restore SIZE, preset URI
//
// In a word, %20 is a space and %25 the percent sign.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/hosted_plugin.h"
#include "host/json.h"
#include "host/main_loop.h"
#include "host/plugin_file.h"
#include "host/ring_player.h"

namespace twinrack::host {
namespace {

int control = -1, memory = -1;  // files
constexpr int largest_block = 65536;
constexpr int idle_ms = 20;

// While it lives, whoever watches the ring sees that the process is not stuck: a restart may take its time.
class Excuse {
 public:
  explicit Excuse(RingPlayer* ring) {
    if (ring == nullptr) return;
    thread_ = std::jthread([ring](const std::stop_token& ended) {
      for (int n = 0; n < most && !ended.stop_requested(); ++n) {
        ring->show_life();
        std::this_thread::sleep_for(std::chrono::milliseconds(idle_ms));
      }
    });
  }

 private:
  static constexpr int most = 10000 / idle_ms;  // 10 s
  std::jthread thread_;
};

class Host {
 public:
  // Answers requests until the other side is gone.
  void serve() {
    for (std::string line; read_line(line);) {
      try {
        const std::string text = answer(words_of(line));
        idle();
        reply("ok", text);
      } catch (const std::exception& error) {
        reply("error", error.what());
      }
    }
  }

 private:
  static std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words(1);
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == ' ') {
        words.emplace_back();
      } else if (line.compare(i, 3, "%20") == 0 || line.compare(i, 3, "%25") == 0) {
        words.back() += line[i + 2] == '0' ? ' ' : '%';
        i += 2;
      } else {
        words.back() += line[i];
      }
    }
    return words;
  }

  std::string answer(const std::vector<std::string>& words) {
    const auto word = [&](std::size_t i) -> const std::string& {
      if (i >= words.size()) throw std::invalid_argument("the request " + words[0] + " is incomplete");
      return words[i];
    };
    const std::string& what = words[0];
    Json json;
    if (what == "list") return list_lv2(json), json.text();
    if (what == "scan" || what == "describe" || what == "load") {
      if (ring_ != nullptr) throw std::invalid_argument("a ring was joined already");
      rows_ = nullptr;
      plays_offline_ = false;
      editor_.reset();
      scales_.clear();
      state_.clear();
      played_ = 0;
      plugin_.reset();
      if (file_ == nullptr || path_ != word(2)) {
        file_.reset();
        file_ = open_plugin_file(word(1), word(2));
        path_ = word(2);
      }
      if (what == "scan") return file_->list(json), json.text();
      address_ = word(3);
      if (what == "describe") return file_->describe(address_, json), json.text();
      block_ = std::atoi(word(5).c_str());
      if (block_ < 1 || block_ > largest_block) throw std::invalid_argument("a block has 1 to 65536 frames");
      rate_ = std::strtod(word(4).c_str(), nullptr);
      if (!(rate_ > 0.0)) throw std::invalid_argument("a rate is above 0 Hz");
      tempo_ = steady(rate_);
      score_ = {};
      plugin_ = another();
      return "";
    }
    if (what == "pump" || what == "play") {
      if (ring_ == nullptr) throw std::invalid_argument("no ring was joined");
      plays_offline_ = what == "pump";
      if (plays_offline_) return std::to_string(ring_->pump());
      return ring_->start(block_ / rate_, words.size() > 1 && words[1] == "waited-for"), "";
    }
    if (what == "close") return editor_.reset(), "";
    if (what == "is-open") return editor_ != nullptr ? "1" : "0";
    if (what == "edit" && (ring_ != nullptr || plugin_ != nullptr)) {
      editor_.reset();
      editor_ = (ring_ != nullptr ? *ring_->instances()[0] : *plugin_).open_editor(word(1));
      return "";
    }
    if (what == "moved") {
      if (ring_ == nullptr) return "";
      const std::lock_guard lock(ring_->mutex());
      return ring_->expect(number(word(1)), std::strtof(word(2).c_str(), nullptr)), "";
    }
    if (what == "send" && (ring_ != nullptr || plugin_ != nullptr)) {
      const MidiMessage message = midi_message(word(1));
      if (ring_ == nullptr) return plugin_->hear(message), "";
      const std::lock_guard lock(ring_->mutex());
      return ring_->send(message), "";
    }
    if (ring_ != nullptr) return answer_beside(words, word);
    if (plugin_ == nullptr) throw std::invalid_argument("no plugin is loaded");
    if (what == "run") {
      const int frames = std::atoi(word(1).c_str());
      if (frames < 0 || frames > plugin_->block()) throw std::invalid_argument("too many frames");
      if (rows_ == nullptr) {
        rows_ = static_cast<float*>(map(static_cast<std::size_t>(plugin_->inputs() + plugin_->outputs()) *
                                        static_cast<std::size_t>(plugin_->block()) * sizeof(float)));
      }
      plays_offline_ = true;
      for (MidiMessage message : score_.between(played_, played_ + frames)) {
        message.frame -= played_;
        plugin_->hear(message);
      }
      plugin_->set_transport(tempo_.at(played_));
      plugin_->run(rows_, 0, frames);
      played_ += frames;
      return "";
    }
    if (what == "tempo") {
      std::vector<std::pair<double, double>> knots;
      for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
        knots.emplace_back(std::strtod(word(i).c_str(), nullptr), std::strtod(word(i + 1).c_str(), nullptr));
      }
      tempo_ = TempoMap(std::move(knots), rate_);
      return "";
    }
    if (what == "midi") {
      for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
        MidiMessage message = midi_message(words[i + 1]);
        message.frame = std::atoll(words[i].c_str());
        score_.add(message);
      }
      return "";
    }
    if (what == "scale") {
      std::vector<float> columns[2];
      for (std::size_t i = 3; i < words.size(); ++i)
        columns[i % 2 == 0].push_back(std::strtof(word(i).c_str(), nullptr));
      scales_.emplace_back(checked_value(*plugin_, word(1)), Scale(columns[0], columns[1], word(2) == "log"));
      plugin_->set_scale(scales_.back().first, scales_.back().second);
      return "";
    }
    if (what == "latency-played") return std::to_string(latency_once_played());
    if (what == "join") {
      ChannelMap ports;
      for (const char c : word(4)) ports.is_sidechain.push_back(c == '1');
      for (std::size_t i = 5; i < words.size(); ++i) ports.ports.push_back(checked_control(*plugin_, words[i]));
      const RingShape shape{std::atoi(word(1).c_str()), std::atoi(word(2).c_str()),
                            static_cast<int>(ports.ports.size()), block_, std::atoi(word(3).c_str()) + 4};
      join(shape, std::move(ports));
      return "";
    }
    return answer_on(*plugin_, words, word);
  }

  // While the ring plays: a change goes to every instance, a question to the first.
  template <class Word>
  std::string answer_beside(const std::vector<std::string>& words, const Word& word) {
    if (words[0] == "save") return ring_->instances()[0]->save(true);
    const std::lock_guard lock(ring_->mutex());
    if (words[0] != "set" && words[0] != "restore" && words[0] != "preset" && words[0] != "reset") {
      return answer_on(*ring_->instances()[0], words, word);
    }
    if (words[0] == "restore") read_state(word(1));
    for (const auto& instance : ring_->instances()) {
      words[0] == "restore" ? instance->restore(state_) : void(answer_on(*instance, words, word));
    }
    return "";
  }

  template <class Word>
  std::string answer_on(HostedPlugin& plugin, const std::vector<std::string>& words, const Word& word) {
    const std::string& what = words[0];
    Json json;
    if (what == "latency") return std::to_string(plugin.latency());
    if (what == "allocations") return std::to_string(plugin.allocations());
    if (what == "set") {
      plugin.set(checked_control(plugin, word(1)), std::strtof(word(2).c_str(), nullptr));
      return "";
    }
    if (what == "values") {
      plugin.refresh();
      json.begin('[');
      for (std::size_t i = 0; i < plugin.values().size(); ++i) json.value(static_cast<double>(plugin.get(i)));
      return json.end(']').text();
    }
    if (what == "reset") {
      plays_offline_ = plays_offline_ && ring_ != nullptr;
      played_ = 0;
      return plugin.reset(), "";
    }
    if (what == "save") return plugin.save(false);
    if (what == "restore") return read_state(word(1)), plugin.restore(state_), "";
    if (what == "preset") return plugin.load_preset(word(1)), "";
    throw std::invalid_argument("no request is called " + what);
  }

  static std::size_t number(const std::string& word) { return static_cast<std::size_t>(std::atol(word.c_str())); }
  static std::size_t checked_control(const HostedPlugin& plugin, const std::string& word) {
    if (!plugin.is_control_input(number(word))) throw std::invalid_argument("port " + word + " is not a control");
    return number(word);
  }
  static std::size_t checked_value(const HostedPlugin& plugin, const std::string& word) {
    if (number(word) >= plugin.values().size()) throw std::invalid_argument("port " + word + " has no value");
    return number(word);
  }
  void read_state(const std::string& size) {
    state_.assign(number(size), '\0');
    read(state_.data(), state_.size());
  }

  // 120 beats a minute.
  static TempoMap steady(double rate) { return TempoMap({{0.0, 0.0}, {rate, 2.0}}, rate); }

  std::unique_ptr<HostedPlugin> another() const {
    auto plugin = file_->load(address_, rate_, block_);
    for (const auto& [port, scale] : scales_) plugin->set_scale(port, scale);
    return plugin;
  }

  // Some plugins know only once they have played.
  int latency_once_played() const {
    const auto probe = another();
    if (!state_.empty()) probe->restore(state_);
    probe->set_values(plugin_->values());
    probe->prepare();
    play_silence(*probe);
    if (probe->idle()) probe->restart();
    return probe->latency();
  }

  // Does what plugins want done beside their sound. Offline none is restarted once its sound has begun: the rest of a
  // rendering would depend on when.
  void idle() {
    const auto attend = [&](HostedPlugin& plugin) {
      if (plugin.idle() && !plays_offline_) {
        const auto lock = ring_ == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(ring_->mutex());
        const Excuse excuse(ring_.get());
        try {
          plugin.restart();
        } catch (const std::exception& error) {  // it does not play any more
          std::fprintf(stderr, "%s\n", error.what());
          std::_Exit(1);
        }
      } else if (plays_offline_) {
        plugin.look_up_latency();
      }
    };
    if (editor_ != nullptr && !editor_->is_open()) editor_.reset();
    if (editor_ != nullptr && plugin_ != nullptr) play_silence(*plugin_);  // values go with sound only
    if (plugin_ != nullptr) attend(*plugin_);
    if (ring_ == nullptr) return;
    for (const auto& instance : ring_->instances()) attend(*instance);
  }

  static void play_silence(HostedPlugin& plugin) {
    std::vector<float> silence(static_cast<std::size_t>(plugin.inputs() + plugin.outputs()) *
                               static_cast<std::size_t>(plugin.block()));
    plugin.run(silence.data(), 0, plugin.block());
  }

  void join(const RingShape& shape, ChannelMap ports) {
    const auto inputs = static_cast<int>(ports.is_sidechain.size());
    const auto sides = static_cast<int>(std::count(ports.is_sidechain.begin(), ports.is_sidechain.end(), true));
    if (inputs != plugin_->inputs() || shape.channels < 1 || shape.channels > max_channels || shape.keys < 0 ||
        shape.keys > max_channels || shape.slots < 5 || shape.slots > 68) {
      throw std::invalid_argument("this ring cannot be joined");
    }
    std::vector<std::unique_ptr<HostedPlugin>> instances;
    const std::size_t count = instances_for(inputs - sides, plugin_->outputs(), shape.channels);
    while (instances.size() + 1 < count) {
      instances.push_back(another());
      if (!state_.empty()) instances.back()->restore(state_);
      instances.back()->set_values(plugin_->values());
    }
    void* shared = map(BlockRing::bytes(shape));
    instances.insert(instances.begin(), std::move(plugin_));
    for (const auto& instance : instances) instance->prepare();
    ring_ = std::make_unique<RingPlayer>(std::move(instances), std::move(ports), shape, shared, tempo_, score_);
  }

  // The other side has made the memory, as large as it is needed.
  static void* map(std::size_t bytes) {
    struct stat shared;
    if (fstat(memory, &shared) != 0 || static_cast<std::size_t>(shared.st_size) < bytes) {
      throw std::runtime_error("the shared memory is too small");
    }
    void* mapped = mmap(nullptr, std::max<std::size_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (mapped == MAP_FAILED) throw std::runtime_error("the shared memory cannot be mapped");
    return mapped;
  }

  void read(char* to, std::size_t size) {
    while (size > 0) {
      const ssize_t got = ::read(control, to, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) std::_Exit(0);
      to += got;
      size -= static_cast<std::size_t>(got);
    }
  }

  bool read_line(std::string& line) {
    line.clear();
    main_loop().wait_for(control, idle_ms, [this] { idle(); });
    for (char c = 0;;) {
      const ssize_t got = ::read(control, &c, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      if (c == '\n') return true;
      line += c;
    }
  }

  static void reply(const char* how, const std::string& text) {
    const std::string whole = std::string(how) + " " + std::to_string(text.size()) + "\n" + text;
    for (std::size_t at = 0; at < whole.size();) {
      const ssize_t written = send(control, whole.data() + at, whole.size() - at, MSG_NOSIGNAL);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) std::_Exit(0);
      at += static_cast<std::size_t>(written);
    }
  }

  std::unique_ptr<PluginFile> file_;
  std::string path_, address_;
  std::vector<std::pair<std::size_t, Scale>> scales_;  // by port
  double rate_ = 0.0;
  int block_ = 0;
  TempoMap tempo_ = steady(48000.0);
  MidiScore score_;
  std::int64_t played_ = 0;               // frames, by `run`
  std::unique_ptr<HostedPlugin> plugin_;  // until the ring has it
  std::unique_ptr<RingPlayer> ring_;
  std::unique_ptr<Editor> editor_;
  bool plays_offline_ = false;
  std::string state_;
  float* rows_ = nullptr;
};

}  // namespace
}  // namespace twinrack::host

int main(int count, char** given) {
  if (count != 3) {
    std::fprintf(stderr, "twinrack-host is started by twinrack; see `twinrack plugins --help`\n");
    return 2;
  }
  twinrack::host::control = std::atoi(given[1]);
  twinrack::host::memory = std::atoi(given[2]);
  for (const int file : {twinrack::host::control, twinrack::host::memory}) fcntl(file, F_SETFD, FD_CLOEXEC);
  std::thread([] {  // never outlives who started it, whatever the plugin is doing
    pollfd other{twinrack::host::control, POLLRDHUP, 0};
    while (poll(&other, 1, -1) < 0 || (other.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0) {
    }
    std::_Exit(0);
  })
      .detach();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const rlimit largest_file{256u << 20, 256u << 20};
  setrlimit(RLIMIT_FSIZE, &largest_file);
  twinrack::host::Host().serve();
  std::_Exit(0);  // without what plugins leave for the end
}
