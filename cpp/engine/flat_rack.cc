#include "engine/flat_rack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <stdexcept>

#include "engine/effect.h"

namespace twinrack {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

namespace {

constexpr char magic[] = "twinrack flat rack";
constexpr int deepest = 1000;
constexpr std::size_t most_drives = 4096;

[[noreturn]] void refuse(const std::string& why) { throw std::invalid_argument("not a flat rack: " + why); }

class Writer {
 public:
  template <class T>
  void number(const T& x) {
    bytes_.append(reinterpret_cast<const char*>(&x), sizeof x);
  }
  void text(const std::string& x) {
    number(static_cast<std::uint64_t>(x.size()));
    bytes_ += x;
  }
  template <class T, class Each>
  void list(std::vector<T>& items, const Each& each) {
    number(static_cast<std::uint32_t>(items.size()));
    for (T& item : items) each(item);
  }
  template <class T>
  void numbers(std::vector<T>& items) {
    number(static_cast<std::uint32_t>(items.size()));
    bytes_.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view from) : left_(from) {}

  template <class T>
  void number(T& x) {
    std::memcpy(&x, take(sizeof x).data(), sizeof x);
  }
  void text(std::string& x) {
    std::uint64_t size = 0;
    number(size);
    if (size > left_.size()) refuse("it ends within a text");
    x = take(static_cast<std::size_t>(size));
  }
  template <class T, class Each>
  void list(std::vector<T>& items, const Each& each) {
    const std::size_t size = count(1);  // every item has a byte at least
    items.clear();
    for (std::size_t i = 0; i < size; ++i) each(items.emplace_back());
  }
  template <class T>
  void numbers(std::vector<T>& items) {
    const std::size_t size = count(sizeof(T));
    items.resize(size);
    const std::string_view from = take(size * sizeof(T));
    if (size > 0) std::memcpy(items.data(), from.data(), from.size());
  }
  void expect_end() const {
    if (!left_.empty()) refuse("bytes follow its end");
  }

 private:
  std::size_t count(std::size_t size_of_item) {
    std::uint32_t size = 0;
    number(size);
    if (size > left_.size() / size_of_item) refuse("it ends within a list");
    return size;
  }
  std::string_view take(std::size_t size) {
    if (size > left_.size()) refuse("it ends too early");
    const std::string_view from = left_.substr(0, size);
    left_.remove_prefix(size);
    return from;
  }

  std::string_view left_;
};

// A flag as one byte; true for any other than 0.
template <class Archive>
void flag(Archive& archive, bool& x) {
  std::uint8_t byte = x ? 1 : 0;
  archive.number(byte);
  x = byte != 0;
}

template <class Archive>
void tree_fields(Archive& archive, Node& node, int depth = 0) {
  if (depth > deepest) refuse("its tree is too deep");
  auto kind = static_cast<std::uint8_t>(node.kind);
  archive.number(kind);
  if (kind > static_cast<std::uint8_t>(Node::Kind::split)) refuse("its tree has a part of no known kind");
  node.kind = static_cast<Node::Kind>(kind);
  if (node.kind == Node::Kind::effect) {
    archive.text(node.effect);
    archive.numbers(node.values);
    flag(archive, node.bypass);
    archive.number(node.key);
    archive.numbers(node.drives);
    return;
  }
  archive.list(node.children, [&](Node& child) { tree_fields(archive, child, depth + 1); });
}

// Calls `each` for every effect in the order of the tree.
template <class Tree, class Each>
void for_effects(Tree& node, const Each& each) {
  if (node.kind == Node::Kind::effect) return each(node);
  for (auto& child : node.children) for_effects(child, each);
}

bool same_tree(const Node& a, const Node& b) {
  if (a.kind != b.kind || a.effect != b.effect || a.values != b.values || a.bypass != b.bypass || a.key != b.key ||
      a.drives != b.drives || a.children.size() != b.children.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    if (!same_tree(a.children[i], b.children[i])) return false;
  }
  return true;
}

}  // namespace

void FlatRack::add_rate(double rate, const Node& root) {
  if (!std::isfinite(rate) || rate <= 0.0) throw std::invalid_argument("a sample rate is a number of Hz above 0");
  std::vector<Rows> loaded;
  for_effects(root, [&](const Node& effect) {
    if (effect.worker != nullptr) throw std::invalid_argument("what works outside the engine cannot leave Python");
    loaded.push_back(effect.resource);
  });
  if (rates_.empty()) {
    root_ = root;
    for_effects(root_, [](Node& effect) { effect.resource.clear(); });
    resources_.assign(loaded.size(), {});
  } else if (!same_tree(root, root_)) {
    throw std::invalid_argument("the tree is another one than at the first rate");
  }
  rates_.push_back(rate);
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    Resource& resource = resources_[i];
    const auto known = std::find(resource.variants.begin(), resource.variants.end(), loaded[i]);
    resource.of_rate.push_back(static_cast<std::uint32_t>(known - resource.variants.begin()));
    if (known == resource.variants.end()) resource.variants.push_back(std::move(loaded[i]));
  }
}

Node FlatRack::tree(double rate) const {
  const bool any = std::all_of(resources_.begin(), resources_.end(), [](const Resource& r) {
    return std::all_of(r.variants.begin(), r.variants.end(), [](const Rows& rows) { return rows.empty(); });
  });
  const auto position = std::find(rates_.begin(), rates_.end(), rate);
  if (position == rates_.end() && !any) {
    std::string known;
    for (const double r : rates_) known += (known.empty() ? "" : ", ") + std::to_string(static_cast<long>(r));
    throw std::invalid_argument(name + " was not prepared for a sample rate of " +
                                std::to_string(static_cast<long>(rate)) + " Hz, only for " + known);
  }
  const std::size_t at = position == rates_.end() ? 0 : static_cast<std::size_t>(position - rates_.begin());
  Node root = root_;
  std::size_t i = 0;
  for_effects(root, [&](Node& effect) {
    const Resource& resource = resources_[i++];
    effect.resource = resource.variants[resource.of_rate[at]];
  });
  return root;
}

const Parameter& FlatRack::card_of(const FlatParameter& parameter) const {
  const Parameter* card = nullptr;
  int left = parameter.index;
  for_effects(root_, [&](const Node& effect) {
    const EffectType* type = find_effect(effect.effect.c_str());
    if (card == nullptr && left >= 0 && left < type->parameter_count) card = type->parameters + left;
    left -= type->parameter_count;
  });
  if (card == nullptr) refuse("a parameter is of no effect");
  return *card;
}

template <class Archive>
void FlatRack::fields(Archive& archive, std::uint32_t written) {
  for (std::string* text : {&id, &name, &description, &made_by, &class_id, &patch}) archive.text(*text);
  archive.number(channels);
  archive.list(keys, [&](std::string& key) { archive.text(key); });
  archive.number(tail_s);
  archive.list(parameters, [&](FlatParameter& p) {
    archive.number(p.index);
    archive.number(p.id);
    for (std::string* text : {&p.symbol, &p.name, &p.group, &p.unit}) archive.text(*text);
    archive.list(p.options, [&](std::string& option) { archive.text(option); });
    flag(archive, p.is_switch);
    archive.number(p.initial);
  });
  if (written >= 2) {
    archive.list(presets, [&](FlatPreset& preset) {
      archive.text(preset.name);
      archive.numbers(preset.values);
    });
  }
  archive.numbers(rates_);
  tree_fields(archive, root_);
  archive.list(resources_, [&](Resource& resource) {
    archive.numbers(resource.of_rate);
    archive.list(resource.variants,
                 [&](Rows& rows) { archive.list(rows, [&](std::vector<float>& row) { archive.numbers(row); }); });
  });
}

void FlatRack::check() const {
  if (channels < 1 || channels > max_channels) refuse("it has " + std::to_string(channels) + " channels");
  if (keys.size() >= static_cast<std::size_t>(max_channels)) refuse("it has too many sidechains");
  if (rates_.empty()) refuse("it has no sample rate");
  std::size_t effects = 0, values = 0;
  for_effects(root_, [&](const Node& effect) {
    const EffectType* type = find_effect(effect.effect.c_str());
    if (type == nullptr) refuse("no effect is called " + effect.effect);
    if (effect.values.size() != static_cast<std::size_t>(type->parameter_count)) {
      refuse(effect.effect + " has another number of parameters in this version");
    }
    if (effect.key < -1 || effect.key >= static_cast<int>(keys.size())) refuse("a sidechain has no name");
    if (effect.drives.size() > most_drives) refuse("an effect drives too much");
    ++effects;
    values += effect.values.size();
  });
  if (resources_.size() != effects) refuse("its resources are those of another tree");
  for (const Resource& resource : resources_) {
    if (resource.of_rate.size() != rates_.size()) refuse("a resource was not prepared for every rate");
    for (const std::uint32_t variant : resource.of_rate) {
      if (variant >= resource.variants.size()) refuse("a resource is missing");
    }
  }
  std::set<std::string> symbols;
  std::set<std::uint32_t> ids;
  for (const FlatParameter& p : parameters) {
    if (!symbols.insert(p.symbol).second || !ids.insert(p.id).second) refuse("two parameters have one name");
    if (p.index < 0 || static_cast<std::size_t>(p.index) >= values) refuse("a parameter is of no effect");
    if (!std::isfinite(p.initial)) refuse("a value is NaN or infinity");
  }
  for (const FlatPreset& preset : presets) {
    if (preset.values.size() != parameters.size())
      refuse("the preset " + preset.name + " has another number of values");
    for (const float value : preset.values) {
      if (!std::isfinite(value)) refuse("a value of the preset " + preset.name + " is NaN or infinity");
    }
  }
  if (!std::isfinite(tail_s) || tail_s < 0.0) refuse("its tail has no length");
}

std::string FlatRack::bytes() const {
  check();
  Writer writer;
  writer.text(magic);
  writer.number(version);
  const_cast<FlatRack*>(this)->fields(writer, version);  // which only reads them
  return writer.take();
}

FlatRack FlatRack::read(std::string_view bytes) {
  Reader reader(bytes);
  std::string begins;
  reader.text(begins);
  if (begins != magic) refuse("it begins otherwise");
  std::uint32_t written = 0;
  reader.number(written);
  if (written < first_version || written > version) {
    refuse("it is of version " + std::to_string(written) + ", this library reads up to version " +
           std::to_string(version));
  }
  FlatRack rack;
  rack.fields(reader, written);
  reader.expect_end();
  rack.check();
  return rack;
}

}  // namespace twinrack
