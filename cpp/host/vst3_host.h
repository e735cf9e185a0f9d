// The objects that a VST3 plugin asks of its host: streams, changes of values, messages, the host itself.
#pragma once

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "abi/vst3.h"

namespace twinrack::host {

inline bool is_id(const vst3::InterfaceId& own, const std::uint8_t* other) {
  return std::memcmp(own.bytes, other, 16) == 0;
}
// UTF-16 as UTF-8.
std::string narrow(const char16_t* text, std::size_t most);

// A reference to an object of the plugin, or none.
template <class T>
class Vst3Pointer {
 public:
  Vst3Pointer() = default;
  explicit Vst3Pointer(T* object) : object_(object) {}  // takes over a reference
  ~Vst3Pointer() {
    if (object_ != nullptr) object_->release();
  }
  Vst3Pointer(Vst3Pointer&& other) noexcept : object_(other.object_) { other.object_ = nullptr; }
  Vst3Pointer& operator=(Vst3Pointer&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  // Another interface of an object; none where it does not have it.
  static Vst3Pointer of(vst3::Unknown* object) {
    void* found = nullptr;
    const bool has = object != nullptr && object->query_interface(T::id.bytes, &found) == vst3::ok;
    return Vst3Pointer(has ? static_cast<T*>(found) : nullptr);
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

// An object of ours that lives as long as its owner says, whoever counts references to it.
template <class Interface>
class Vst3Owned : public Interface {
 public:
  vst3::Result query_interface(const vst3::Id id, void** object) override {
    const bool is_own = is_id(Interface::id, id) || is_id(vst3::Unknown::id, id);
    *object = is_own ? this : nullptr;
    return is_own ? vst3::ok : vst3::no_interface;
  }
  std::uint32_t add_reference() override { return 1; }
  std::uint32_t release() override { return 1; }
};

class Vst3Stream final : public Vst3Owned<vst3::Stream> {
 public:
  explicit Vst3Stream(std::string bytes = "") : bytes_(std::move(bytes)) {}
  const std::string& bytes() const { return bytes_; }
  vst3::Result read(void* to, std::int32_t size, std::int32_t* count) override;
  vst3::Result write(void* from, std::int32_t size, std::int32_t* count) override;
  vst3::Result seek(std::int64_t position, std::int32_t mode, std::int64_t* result) override;
  vst3::Result tell(std::int64_t* position) override;

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

// The values of a parameter within a block, by their frames.
class Vst3Queue final : public Vst3Owned<vst3::ValueQueue> {
 public:
  Vst3Queue() { points_.reserve(usual_points); }
  // Of those that come out of a plugin, the latest one counts.
  void keep_last() { keeps_last_ = true; }
  void begin(std::uint32_t parameter) noexcept {
    parameter_ = parameter;
    points_.clear();
  }
  std::optional<double> last() const { return points_.empty() ? std::nullopt : std::optional(points_.back().second); }

  std::uint32_t parameter() noexcept TR_RT override { return parameter_; }
  std::int32_t points() noexcept TR_RT override { return static_cast<std::int32_t>(points_.size()); }
  vst3::Result point(std::int32_t index, std::int32_t* offset, double* value) noexcept TR_RT override {
    if (index < 0 || index >= points()) return vst3::invalid;
    std::tie(*offset, *value) = points_[static_cast<std::size_t>(index)];
    return vst3::ok;
  }
  vst3::Result add(std::int32_t offset, double value, std::int32_t* index) noexcept TR_RT override {
    if (keeps_last_ && !points_.empty()) {
      if (offset >= points_.back().first) points_.back() = {offset, value};
      if (index != nullptr) *index = 0;
      return vst3::ok;
    }
    if (index != nullptr) *index = points();
    points_.emplace_back(offset, value);
    return vst3::ok;
  }

 private:
  static constexpr std::size_t usual_points = 8;
  std::uint32_t parameter_ = 0;
  bool keeps_last_ = false;
  std::vector<std::pair<std::int32_t, double>> points_;
};

class Vst3Changes final : public Vst3Owned<vst3::Changes> {
 public:
  explicit Vst3Changes(std::size_t most, bool keeps_last = false) : queues_(most) {
    for (Vst3Queue& queue : queues_) {
      if (keeps_last) queue.keep_last();
    }
  }
  void clear() noexcept { used_ = 0; }
  std::int32_t count() noexcept TR_RT override { return static_cast<std::int32_t>(used_); }
  Vst3Queue* queue(std::int32_t index) noexcept TR_RT override {
    return index >= 0 && static_cast<std::size_t>(index) < used_ ? &queues_[static_cast<std::size_t>(index)] : nullptr;
  }
  Vst3Queue* add(const std::uint32_t& parameter, std::int32_t* index) noexcept TR_RT override;

 private:
  std::vector<Vst3Queue> queues_;
  std::size_t used_ = 0;
};

// Keys of a block.
class Vst3Events final : public Vst3Owned<vst3::EventList> {
 public:
  std::vector<vst3::Event> all;
  std::int32_t count() noexcept TR_RT override { return static_cast<std::int32_t>(all.size()); }
  vst3::Result get(std::int32_t index, vst3::Event* event) noexcept TR_RT override {
    if (index < 0 || static_cast<std::size_t>(index) >= all.size()) return vst3::invalid;
    *event = all[static_cast<std::size_t>(index)];
    return vst3::ok;
  }
  vst3::Result add(vst3::Event*) noexcept TR_RT override { return vst3::no; }
};

// The program that a plugin is in; it also makes messages.
class Vst3Application final : public Vst3Owned<vst3::HostApplication> {
 public:
  vst3::Result name(vst3::Text name) override;
  vst3::Result create(const vst3::Id class_id, const vst3::Id interface_id, void** object) override;
};

// Edits and restarts that the plugin's controller asks for, until somebody looks.
class Vst3Handler final : public Vst3Owned<vst3::Handler> {
 public:
  std::atomic<int> restarts{0};  // flags
  // In the plugin's window, since the last call: parameters and positions.
  std::vector<std::pair<std::uint32_t, double>> take_edits() {
    const std::lock_guard lock(mutex_);
    return std::exchange(edits_, {});
  }
  vst3::Result begin_edit(std::uint32_t) override { return vst3::ok; }
  vst3::Result perform_edit(std::uint32_t parameter, double position) override {
    const std::lock_guard lock(mutex_);
    edits_.emplace_back(parameter, position);
    restarts |= vst3::values_changed;
    return vst3::ok;
  }
  vst3::Result end_edit(std::uint32_t) override { return vst3::ok; }
  vst3::Result restart(std::int32_t flags) override {
    restarts |= flags;
    return vst3::ok;
  }

 private:
  std::mutex mutex_;  // some plugins have a thread of their own for their window
  std::vector<std::pair<std::uint32_t, double>> edits_;
};

}  // namespace twinrack::host
