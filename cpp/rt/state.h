// The state of a running rack as bytes. Whatever remembers the past lists its fields in `void state(StateWalk&)`, and
// one walk over them all saves them, checks bytes against them, or loads them. All is checked before anything is
// written, so bytes that do not fit change nothing. Never on the audio thread: it allocates and throws.
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

// A number for bytes: others have another one, but by chance.
inline std::uint64_t digest(std::string_view bytes, std::uint64_t before = 0) noexcept {
  std::uint64_t sum = before ^ (bytes.size() * 0x9e3779b97f4a7c15u);
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
std::uint64_t digest(const std::vector<T>& numbers, std::uint64_t before) noexcept {
  static_assert(std::is_arithmetic_v<T>);
  return digest({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)}, before);
}

class StateWalk {
 public:
  enum class Way { save, check, load };

  explicit StateWalk(Way way, std::string_view from = {}) : way_(way), left_(from) {}

  bool loads() const noexcept { return way_ == Way::load; }
  std::string take() noexcept { return std::move(saved_); }

  // Numbers, structs of them, whatever has `state`, and vectors and arrays of these, which keep their length.
  template <class... Fields>
  void operator()(Fields&... fields) {
    (field(fields), ...);
  }

  // A number by which memory is found: beyond these ends it is refused.
  template <class T>
  void within(T& number, std::type_identity_t<T> least, std::type_identity_t<T> most) {
    const T found = next(number);
    if (!(least <= found && found <= most)) refuse();
    if (loads()) number = found;
  }

  // What must be the same in both engines.
  template <class T>
  void same(const T& value) {
    if (!(next(value) == value)) refuse();
  }

  // Numbers that may be as many as there are; says how many.
  template <class T>
  std::size_t all(std::vector<T>& numbers) {
    static_assert(std::is_arithmetic_v<T>);
    const std::size_t count = next(numbers.size());
    if (way_ != Way::save && count > left_.size() / sizeof(T)) refuse();
    if (loads()) numbers.resize(count);
    bytes(numbers.data(), count * sizeof(T));
    return count;
  }

  void bytes(void* field, std::size_t size) {
    if (way_ == Way::save) {
      saved_.append(static_cast<const char*>(field), size);
      return;
    }
    if (size > left_.size()) refuse();
    if (loads() && size > 0) std::memcpy(field, left_.data(), size);
    left_.remove_prefix(size);
  }

  // What comes now, for what is said when it does not fit.
  void enter(std::string place) noexcept { place_ = std::move(place); }
  // There must be nothing left.
  void end() const {
    if (!left_.empty()) refuse();
  }

 private:
  template <class T>
  static constexpr bool has_state = requires(T& x, StateWalk& walk) { x.state(walk); };
  template <class T>
  static constexpr bool plain = std::is_trivially_copyable_v<T> && !has_state<T> && !std::is_same_v<T, bool>;

  [[noreturn]] void refuse() const {
    throw std::invalid_argument("the state is that of another rack; they differ in " + place_);
  }

  // What stands there, while saving the value itself; nothing is written.
  template <class T>
  T next(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (way_ == Way::save) {
      saved_.append(reinterpret_cast<const char*>(&value), sizeof(T));
      return value;
    }
    if (sizeof(T) > left_.size()) refuse();
    std::memcpy(&value, left_.data(), sizeof(T));
    left_.remove_prefix(sizeof(T));
    return value;
  }

  void field(bool& flag) {
    const auto found = next(static_cast<unsigned char>(flag));
    if (found > 1) refuse();
    if (loads()) flag = found == 1;
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
        for (auto& one : x) field(one);
      }
    }
  }

  Way way_;
  std::string_view left_;
  std::string saved_, place_;
};

// Around the fields: what they are, how many bytes, and a sum over them, so that others are refused before the walk.
struct StateSeal {
  static constexpr std::uint32_t current = 2;  // higher with every change of what is walked
  char name[4] = {'t', 'w', 'r', 's'};
  std::uint32_t version = current;
  std::uint64_t count = 0, sum = 0;

  static std::string around(const std::string& fields) {
    StateSeal seal;
    seal.count = fields.size();
    seal.sum = digest(fields);
    std::string sealed(sizeof(StateSeal), '\0');
    std::memcpy(sealed.data(), &seal, sizeof(StateSeal));
    return sealed + fields;
  }

  static std::string_view open(std::string_view bytes) {
    StateSeal seal;
    const std::string_view name(seal.name, sizeof(seal.name));
    if (bytes.size() < sizeof(StateSeal) || bytes.substr(0, name.size()) != name) {
      throw std::invalid_argument("these bytes are not the state of an engine");
    }
    std::memcpy(&seal, bytes.data(), sizeof(StateSeal));
    bytes.remove_prefix(sizeof(StateSeal));
    if (seal.version != current) {
      throw std::invalid_argument("the state is of version " + std::to_string(seal.version) + ", this engine reads " +
                                  std::to_string(current));
    }
    if (seal.count != bytes.size()) {
      throw std::invalid_argument("the state has " + std::to_string(bytes.size()) + " bytes, it should have " +
                                  std::to_string(seal.count));
    }
    if (seal.sum != digest(bytes)) throw std::invalid_argument("the state is damaged: its sum is another");
    return bytes;
  }
};

}  // namespace twinrack
