#include "host/main_loop.h"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace twinrack::host {

MainLoop& main_loop() {
  static MainLoop loop;
  return loop;
}

void MainLoop::add_file(int file, short events, std::function<void(short)> call) {
  files_.insert_or_assign(file, File{events, std::move(call)});
}

int MainLoop::add_timer(int period_ms, std::function<void()> call) {
  const std::chrono::milliseconds period(std::clamp(period_ms, 10, 60000));
  timers_.emplace(++count_, Timer{period, Clock::now() + period, std::move(call)});
  return count_;
}

void MainLoop::call_timers() {
  const auto now = Clock::now();
  std::vector<int> due;
  for (const auto& [number, timer] : timers_) {
    if (timer.next <= now) due.push_back(number);
  }
  for (const int number : due) {
    const auto timer = timers_.find(number);
    if (timer == timers_.end()) continue;  // removed by an earlier one
    timer->second.next = now + timer->second.period;
    const auto call = timer->second.call;
    call();
  }
}

void MainLoop::wait_for(int file, int idle_ms, const std::function<void()>& idle) {
  for (;;) {
    std::vector<pollfd> all{{file, POLLIN, 0}};
    for (const auto& [own, listener] : files_) all.push_back({own, listener.events, 0});
    auto wait = std::chrono::milliseconds(idle_ms);
    for (const auto& [number, timer] : timers_) {
      wait = std::min(wait, std::chrono::ceil<std::chrono::milliseconds>(timer.next - Clock::now()));
    }
    poll(all.data(), all.size(), static_cast<int>(std::max<std::int64_t>(wait.count(), 0)));
    for (std::size_t i = 1; i < all.size(); ++i) {
      const auto listener = files_.find(all[i].fd);
      if (all[i].revents == 0 || listener == files_.end()) continue;
      const auto call = listener->second.call;
      call(all[i].revents);
    }
    call_timers();
    if ((all[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) return;
    idle();
  }
}

}  // namespace twinrack::host
