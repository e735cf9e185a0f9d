// twinrack-host: one plugin of another maker in a process of its own, so that what it does wrong happens here.
//
// It is started by twinrack with a socket for control (file 3) and shared memory for sound (file 4). A request is a
// line of words, an answer is "ok SIZE" or "error SIZE" and so many bytes: JSON or text, or a sentence.
//
//     list                                  every LV2 plugin of this machine
//     describe BUNDLE URI                   one of them
//     load BUNDLE URI RATE BLOCK            instantiates it; the memory then has BLOCK frames for each input and output
//     run FRAMES                            plays
//     allocations                           during all runs so far
//     set PORT VALUE, values                moves a control; all of them
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

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "host/lv2_plugin.h"
#include "host/lv2_world.h"

namespace twinrack::host {
namespace {

int control = -1, memory = -1;  // files
constexpr int largest_block = 65536;

class Host {
 public:
  // Answers requests until the other side is gone.
  void serve() {
    for (std::string line; read_line(line);) {
      try {
        reply("ok", answer(words_of(line)));
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
    if (what == "list") {
      Lv2World all;
      all.load_all();
      all.list(json);
      return json.text();
    }
    if (what == "describe" || what == "load") {
      plugin_.reset();
      world_.emplace();
      world_->load_bundle(word(1));
      const LilvPlugin* found = world_->find(word(2));
      if (what == "describe") {
        world_->describe(found, json);
        return json.text();
      }
      const int block = std::atoi(word(4).c_str());
      if (block < 1 || block > largest_block) throw std::invalid_argument("a block has 1 to 65536 frames");
      plugin_ = std::make_unique<Lv2Plugin>(*world_, found, std::strtod(word(3).c_str(), nullptr), block);
      map_rows();
      return "";
    }
    if (plugin_ == nullptr) throw std::invalid_argument("no plugin is loaded");
    if (what == "run") {
      const int frames = std::atoi(word(1).c_str());
      if (frames < 0 || frames > plugin_->block()) throw std::invalid_argument("too many frames");
      plugin_->run(rows_, frames);
      return "";
    }
    if (what == "allocations") return std::to_string(plugin_->allocations());
    if (what == "set") {
      const auto port = static_cast<std::size_t>(std::atol(word(1).c_str()));
      if (!plugin_->is_control_input(port)) throw std::invalid_argument("port " + word(1) + " is not a control");
      plugin_->values()[port] = std::strtof(word(2).c_str(), nullptr);
      return "";
    }
    if (what == "values") {
      json.begin('[');
      for (const float value : plugin_->values()) json.value(static_cast<double>(value));
      return json.end(']').text();
    }
    if (what == "reset") return plugin_->reset(), "";
    if (what == "save") return plugin_->save();
    if (what == "restore") {
      std::string text(static_cast<std::size_t>(std::atol(word(1).c_str())), '\0');
      read(text.data(), text.size());
      return plugin_->restore(text), "";
    }
    if (what == "preset") return plugin_->load_preset(word(1)), "";
    throw std::invalid_argument("no request is called " + what);
  }

  // The other side has made the memory, as large as the plugin needs it.
  void map_rows() {
    const std::size_t bytes = static_cast<std::size_t>(plugin_->inputs() + plugin_->outputs()) *
                              static_cast<std::size_t>(plugin_->block()) * sizeof(float);
    if (rows_ != nullptr) munmap(rows_, mapped_);
    rows_ = nullptr;
    if (bytes == 0) return;
    struct stat shared;
    if (fstat(memory, &shared) != 0 || static_cast<std::size_t>(shared.st_size) < bytes) {
      plugin_.reset();
      throw std::runtime_error("the shared memory is too small");
    }
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (mapped == MAP_FAILED) throw std::runtime_error("the shared memory cannot be mapped");
    rows_ = static_cast<float*>(mapped);
    mapped_ = bytes;
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

  std::optional<Lv2World> world_;
  std::unique_ptr<Lv2Plugin> plugin_;
  float* rows_ = nullptr;
  std::size_t mapped_ = 0;
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
  twinrack::host::Host().serve();
  std::_Exit(0);  // without what plugins leave for the end
}
