// An archive of a running rack's state: saves it as bytes, and loads them. Whatever remembers the past lists its fields
// in `void state(StateArchive&)`; the same list saves them, checks bytes against them, or loads them. All is checked
// before anything is written, so bytes that do not fit change nothing. Never on the audio thread, for it allocates and
// throws.
//
// Not listed are: what stays as it is once an engine is built; what `tune` sets from the values alone, for an effect is
// tuned before it is loaded; and memory that is written before it is read. Pointers are never saved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace twinrack {

// A 64-bit hash of bytes; not cryptographic.
inline std::uint64_t digest(std::string_view bytes, std::uint64_t seed = 0) noexcept {
  std::uint64_t sum = seed ^ (bytes.size() * 0x9e3779b97f4a7c15u);
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    const std::size_t left = bytes.size() - at;
    std::memcpy(&word, bytes.data() + at, left < sizeof(word) ? left : sizeof(word));
    sum = (sum ^ word) * 0xff51afd7ed558ccdu;
    sum ^= sum >> 32;
  }
  return sum;
}
template <class T>
std::uint64_t digest(const std::vector<T>& numbers, std::uint64_t seed) noexcept {
  static_assert(std::is_arithmetic_v<T>);
  return digest({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)}, seed);
}

class StateArchive {
 public:
  enum class Mode { save, check, load };

  explicit StateArchive(Mode mode, std::string_view from = {}) : mode_(mode), left_(from) {}

  bool is_loading() const noexcept { return mode_ == Mode::load; }
  std::string take_bytes() noexcept { return std::move(saved_); }

  // Numbers, structs of them, whatever has `state`, and vectors and arrays of these, which keep their length.
  template <class... Fields>
  void operator()(Fields&... fields) {
    (field(fields), ...);
  }

  // A number that must lie in a range, such as an index into memory: outside it, the bytes are refused.
  template <class T>
  void bounded(T& number, std::type_identity_t<T> least, std::type_identity_t<T> most) {
    const T value = next(number);
    if (!(least <= value && value <= most)) refuse();
    if (is_loading()) number = value;
  }

  // A value that must be the same in both engines.
  template <class T>
  void same(const T& value) {
    if (!(next(value) == value)) refuse();
  }

  // Numbers whose count may differ between the engines; returns the count.
  template <class T>
  std::size_t resizable(std::vector<T>& numbers) {
    static_assert(std::is_arithmetic_v<T>);
    const std::size_t count = next(numbers.size());
    if (mode_ != Mode::save && count > left_.size() / sizeof(T)) refuse();
    if (is_loading()) numbers.resize(count);
    bytes(numbers.data(), count * sizeof(T));
    return count;
  }

  void bytes(void* field, std::size_t size) {
    if (mode_ == Mode::save) {
      saved_.append(static_cast<const char*>(field), size);
      return;
    }
    if (size > left_.size()) refuse();
    if (is_loading() && size > 0) std::memcpy(field, left_.data(), size);
    left_.remove_prefix(size);
  }

  // Names the fields that follow, for the message when they do not fit.
  void section(std::string name) noexcept { section_ = std::move(name); }
  // Refuses bytes that are left over.
  void expect_end() const {
    if (!left_.empty()) refuse();
  }

 private:
  template <class T>
  static constexpr bool has_state = requires(T& x, StateArchive& archive) { x.state(archive); };
  template <class T>
  static constexpr bool plain = std::is_trivially_copyable_v<T> && !has_state<T> && !std::is_same_v<T, bool>;

  [[noreturn]] void refuse() const {
    throw std::invalid_argument("the state is that of another rack; they differ in " + section_);
  }

  // The next value in the bytes; while saving, `value` itself.
  template <class T>
  T next(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (mode_ == Mode::save) {
      saved_.append(reinterpret_cast<const char*>(&value), sizeof(T));
      return value;
    }
    if (sizeof(T) > left_.size()) refuse();
    std::memcpy(&value, left_.data(), sizeof(T));
    left_.remove_prefix(sizeof(T));
    return value;
  }

  void field(bool& flag) {
    const auto byte = next(static_cast<unsigned char>(flag));
    if (byte > 1) refuse();
    if (is_loading()) flag = byte == 1;
  }
  template <class T>
  void field(T& x) {
    static_assert(!std::is_pointer_v<T>, "a pointer means nothing in another engine");
    if constexpr (has_state<T>) {
      x.state(*this);
    } else if constexpr (plain<T>) {
      bytes(&x, sizeof(T));
    } else {
      same(x.size());
      if constexpr (plain<typename T::value_type>) {
        bytes(x.data(), x.size() * sizeof(typename T::value_type));
      } else {
        for (auto& element : x) field(element);
      }
    }
  }

  Mode mode_;
  std::string_view left_;
  std::string saved_, section_;
};

// The header of saved bytes: magic, version, length and checksum, so that other bytes are refused at once.
struct StateHeader {
  static constexpr std::uint32_t current = 3;  // raised with every change of the fields
  char magic[4] = {'t', 'w', 'r', 's'};
  std::uint32_t version = current;
  std::uint64_t count = 0, checksum = 0;

  static std::string wrap(const std::string& fields) {
    StateHeader header;
    header.count = fields.size();
    header.checksum = digest(fields);
    std::string bytes(sizeof(StateHeader), '\0');
    std::memcpy(bytes.data(), &header, sizeof(StateHeader));
    return bytes + fields;
  }

  static std::string_view unwrap(std::string_view bytes) {
    StateHeader header;
    const std::string_view magic(header.magic, sizeof(header.magic));
    if (bytes.size() < sizeof(StateHeader) || bytes.substr(0, magic.size()) != magic) {
      throw std::invalid_argument("these bytes are not the state of an engine");
    }
    std::memcpy(&header, bytes.data(), sizeof(StateHeader));
    bytes.remove_prefix(sizeof(StateHeader));
    if (header.version != current) {
      throw std::invalid_argument("the state is of version " + std::to_string(header.version) + ", this engine reads " +
                                  std::to_string(current));
    }
    if (header.count != bytes.size()) {
      throw std::invalid_argument("the state has " + std::to_string(bytes.size()) + " bytes, it should have " +
                                  std::to_string(header.count));
    }
    if (header.checksum != digest(bytes)) throw std::invalid_argument("the state is damaged: its checksum is wrong");
    return bytes;
  }
};

}  // namespace twinrack
