#include "host/vst3_host.h"

#include <algorithm>

namespace twinrack::host {

std::string narrow(const char16_t* text, std::size_t most) {
  std::string result;
  for (std::size_t i = 0; i < most && text[i] != 0; ++i) {
    std::uint32_t code = text[i];
    if (code >= 0xd800 && code < 0xdc00 && i + 1 < most && text[i + 1] >= 0xdc00 && text[i + 1] < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text[++i] - 0xdc00u);
    } else if (code >= 0xd800 && code < 0xe000) {
      code = '?';
    }
    if (code < 0x80) {
      result += static_cast<char>(code);
      continue;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    result += static_cast<char>((0xff00u >> (more + 1) & 0xffu) | code >> (6 * more));
    for (int k = more - 1; k >= 0; --k) result += static_cast<char>(0x80u | (code >> (6 * k) & 0x3fu));
  }
  return result;
}

vst3::Result Vst3Stream::read(void* to, std::int32_t size, std::int32_t* count) {
  const std::size_t part = std::min(static_cast<std::size_t>(std::max(size, 0)), bytes_.size() - at_);
  std::memcpy(to, bytes_.data() + at_, part);
  at_ += part;
  if (count != nullptr) *count = static_cast<std::int32_t>(part);
  return vst3::ok;
}

vst3::Result Vst3Stream::write(void* from, std::int32_t size, std::int32_t* count) {
  const auto part = static_cast<std::size_t>(std::max(size, 0));
  bytes_.replace(at_, std::min(part, bytes_.size() - at_), static_cast<const char*>(from), part);
  at_ += part;
  if (count != nullptr) *count = static_cast<std::int32_t>(part);
  return vst3::ok;
}

vst3::Result Vst3Stream::seek(std::int64_t position, std::int32_t mode, std::int64_t* result) {
  const auto size = static_cast<std::int64_t>(bytes_.size());
  const std::int64_t from = mode == 0 ? 0 : mode == 1 ? static_cast<std::int64_t>(at_) : size;
  at_ = static_cast<std::size_t>(std::clamp<std::int64_t>(from + position, 0, size));
  return result == nullptr ? vst3::ok : tell(result);
}

vst3::Result Vst3Stream::tell(std::int64_t* position) {
  *position = static_cast<std::int64_t>(at_);
  return vst3::ok;
}

Vst3Queue* Vst3Changes::add(const std::uint32_t& parameter, std::int32_t* index) noexcept {
  std::size_t at = 0;
  while (at < used_ && queues_[at].parameter() != parameter) ++at;
  if (at == queues_.size()) return nullptr;
  if (at == used_) queues_[used_++].begin(parameter);
  if (index != nullptr) *index = static_cast<std::int32_t>(at);
  return &queues_[at];
}

namespace {

// Made by the host for the plugin, and gone with its last reference.
template <class Interface>
class Counted : public Interface {
 public:
  virtual ~Counted() = default;
  vst3::Result query_interface(const vst3::Id id, void** object) override {
    const bool is_own = is_id(Interface::id, id) || is_id(vst3::Unknown::id, id);
    *object = is_own ? this : nullptr;
    if (is_own) add_reference();
    return is_own ? vst3::ok : vst3::no_interface;
  }
  std::uint32_t add_reference() override { return ++references_; }
  std::uint32_t release() override {
    const std::uint32_t left = --references_;
    if (left == 0) delete this;
    return left;
  }

 private:
  std::atomic<std::uint32_t> references_{1};
};

class OwnAttributes final : public Counted<vst3::Attributes> {
 public:
  vst3::Result set_integer(const char* name, std::int64_t value) override { return set(name, value); }
  vst3::Result get_integer(const char* name, std::int64_t* value) override { return get(name, value); }
  vst3::Result set_number(const char* name, double value) override { return set(name, value); }
  vst3::Result get_number(const char* name, double* value) override { return get(name, value); }
  vst3::Result set_text(const char* name, const char16_t* value) override { return set(name, std::u16string(value)); }
  vst3::Result get_text(const char* name, char16_t* value, std::uint32_t bytes) override {
    std::u16string text;
    if (bytes < 2 || get(name, &text) != vst3::ok) return vst3::no;
    const std::size_t count = std::min<std::size_t>(text.size(), bytes / 2 - 1);
    std::copy_n(text.begin(), count, value);
    value[count] = 0;
    return vst3::ok;
  }
  vst3::Result set_bytes(const char* name, const void* value, std::uint32_t size) override {
    return set(name, std::string(static_cast<const char*>(value), size));
  }
  vst3::Result get_bytes(const char* name, const void** value, std::uint32_t* size) override {
    const auto entry = all_.find(name);
    const auto* bytes = entry == all_.end() ? nullptr : std::get_if<std::string>(&entry->second);
    if (bytes == nullptr) return vst3::no;
    *value = bytes->data();
    *size = static_cast<std::uint32_t>(bytes->size());
    return vst3::ok;
  }

 private:
  template <class T>
  vst3::Result set(const char* name, T value) {
    if (name == nullptr) return vst3::invalid;
    all_[name] = std::move(value);
    return vst3::ok;
  }
  template <class T>
  vst3::Result get(const char* name, T* value) {
    const auto entry = name == nullptr ? all_.end() : all_.find(name);
    const T* is = entry == all_.end() ? nullptr : std::get_if<T>(&entry->second);
    if (is != nullptr) *value = *is;
    return is != nullptr ? vst3::ok : vst3::no;
  }

  std::map<std::string, std::variant<std::int64_t, double, std::u16string, std::string>> all_;
};

class OwnMessage final : public Counted<vst3::Message> {
 public:
  ~OwnMessage() override { attributes_->release(); }
  const char* name() override { return name_.c_str(); }
  void set_name(const char* name) override { name_ = name == nullptr ? "" : name; }
  vst3::Attributes* attributes() override { return attributes_; }

 private:
  std::string name_;
  OwnAttributes* attributes_ = new OwnAttributes;
};

}  // namespace

vst3::Result Vst3Application::name(vst3::Text name) {
  const std::u16string_view own = u"twinrack";
  std::copy(own.begin(), own.end(), name);
  name[own.size()] = 0;
  return vst3::ok;
}

vst3::Result Vst3Application::create(const vst3::Id class_id, const vst3::Id, void** object) {
  *object = is_id(vst3::Message::id, class_id) ? static_cast<void*>(static_cast<vst3::Message*>(new OwnMessage))
            : is_id(vst3::Attributes::id, class_id)
                ? static_cast<void*>(static_cast<vst3::Attributes*>(new OwnAttributes))
                : nullptr;
  return *object == nullptr ? vst3::no : vst3::ok;
}

}  // namespace twinrack::host
