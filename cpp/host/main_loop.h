// Serves, while the main thread waits for requests, files and timers of plugins and of their windows.
#pragma once

#include <chrono>
#include <functional>
#include <map>

namespace twinrack::host {

class MainLoop {
 public:
  // Calls with the events of poll(2) that happened, until it is removed. A file has one listener.
  void add_file(int file, short events, std::function<void(short)> call);
  void remove_file(int file) { files_.erase(file); }
  // Calls again and again; the number is for `remove_timer`.
  int add_timer(int period_ms, std::function<void()> call);
  void remove_timer(int number) { timers_.erase(number); }

  // Serves until the file can be read. `idle` is called after whatever happened, and every `idle_ms`.
  void wait_for(int file, int idle_ms, const std::function<void()>& idle);

 private:
  using Clock = std::chrono::steady_clock;
  struct Timer {
    std::chrono::milliseconds period;
    Clock::time_point next;
    std::function<void()> call;
  };
  struct File {
    short events;
    std::function<void(short)> call;
  };

  void call_timers();

  std::map<int, File> files_;
  std::map<int, Timer> timers_;
  int count_ = 0;
};

// That of this process.
MainLoop& main_loop();

}  // namespace twinrack::host
