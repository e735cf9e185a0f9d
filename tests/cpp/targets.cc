// Runs cases from a file through the engine and the sweeps, for processors that Python does not run on here: the NEON
// build under an emulator. tests/records.py describes the file; what comes out has the same form.
//
//   targets CASES OUT
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "adjoint/sweeps.h"
#include "engine/effect.h"
#include "engine/rack.h"
#include "hwy/aligned_allocator.h"

// Of Highway's library these two functions are all that the sweeps need, and it is not there for the other processor.
namespace hwy {
void* AllocateAlignedBytes(std::size_t size, AllocPtr, void*) {
  constexpr std::size_t alignment = 128;
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
void FreeAlignedBytes(const void* memory, FreePtr, void*) { std::free(const_cast<void*>(memory)); }
}  // namespace hwy

namespace {

using twinrack::Node;
using twinrack::SideBlock;
using twinrack::adjoint::FdnShape;
using twinrack::adjoint::FeedbackChoices;
using twinrack::adjoint::Shape;

template <class T>
constexpr const char* type_name = nullptr;
template <>
constexpr const char* type_name<char> = "text";
template <>
constexpr const char* type_name<int> = "i32";
template <>
constexpr const char* type_name<float> = "f32";
template <>
constexpr const char* type_name<double> = "f64";

struct Record {
  std::string type;
  std::vector<int> shape;
  std::string bytes;

  template <class T>
  std::vector<T> as() const {
    if (type != type_name<T>) throw std::runtime_error("a record is " + type + ", wanted " + type_name<T>);
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
};

using Case = std::map<std::string, Record>;

std::vector<Case> read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(std::string("cannot read ") + path);
  std::vector<Case> all;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    Record record;
    words >> name >> record.type;
    if (name == "case") {
      all.emplace_back();
      continue;
    }
    const std::size_t size = record.type == "text" ? 1 : record.type == "f64" ? 8 : 4;
    std::size_t count = 1;
    for (int length; words >> length;) {
      record.shape.push_back(length);
      count *= static_cast<std::size_t>(length);
    }
    record.bytes.resize(count * size);
    in.read(record.bytes.data(), static_cast<std::streamsize>(record.bytes.size()));
    if (!in) throw std::runtime_error("the file ends inside " + name);
    all.at(all.size() - 1)[name] = std::move(record);
  }
  return all;
}

template <class T>
Record record_of(const std::vector<T>& values, std::vector<int> shape) {
  Record record{type_name<T>, std::move(shape), std::string(values.size() * sizeof(T), '\0')};
  if (!values.empty()) std::memcpy(record.bytes.data(), values.data(), record.bytes.size());
  return record;
}

void write(std::ostream& out, const Case& results) {
  out << "case\n";
  for (const auto& [name, record] : results) {
    out << name << ' ' << record.type;
    for (const int length : record.shape) out << ' ' << length;
    out << '\n' << record.bytes;
  }
}

// One effect, from silence; `blocks` are the lengths of the blocks, again and again until the end.
std::vector<float> render(const Case& c, const std::vector<int>& blocks) {
  const std::vector<double> format = c.at("format").as<double>();
  const int channels = static_cast<int>(format[1]), frames = c.at("x").shape[1];
  const bool keyed = c.count("key") > 0;
  const std::vector<char> id = c.at("effect").as<char>();
  Node effect, root;
  effect.kind = Node::Kind::effect;
  effect.effect.assign(id.begin(), id.end());
  effect.values = c.at("values").as<float>();
  effect.key = keyed ? 0 : -1;
  root.children = {effect};
  twinrack::Rack rack(root, {format[0], channels});
  if (c.count("automated") > 0) {
    const Record& curves = c.at("curves");
    rack.automate({c.at("automated").as<int>(), curves.as<float>(), curves.shape[1]});
  }
  std::vector<float> y = c.at("x").as<float>();
  const std::vector<float> key = keyed ? c.at("key").as<float>() : std::vector<float>();
  const int key_channels = keyed ? c.at("key").shape[0] : 0;
  std::size_t turn = 0;
  for (int start = 0; start < frames; ++turn) {
    const int length = std::min(blocks[turn % blocks.size()], frames - start);
    std::vector<float*> io;
    std::vector<const float*> side;
    for (int n = 0; n < channels; ++n) io.push_back(y.data() + static_cast<std::ptrdiff_t>(n) * frames + start);
    for (int n = 0; n < key_channels; ++n) side.push_back(key.data() + static_cast<std::ptrdiff_t>(n) * frames + start);
    const SideBlock block{side.data(), key_channels};
    rack.process(io.data(), keyed ? &block : nullptr, length);
    start += length;
  }
  return y;
}

Case run_effect(const Case& c) {
  const Record& x = c.at("x");
  return {{"whole", record_of(render(c, {x.shape[1]}), x.shape)},
          {"cut", record_of(render(c, c.at("blocks").as<int>()), x.shape)}};
}

// Forwards and backwards through one recursion; coefficients' gradients come out for every stream or batch item.
template <class T>
Case run_sweep(const Case& c) {
  using namespace twinrack::adjoint;
  const std::vector<char> text = c.at("sweep").as<char>();
  const std::string sweep(text.begin(), text.end());
  const Record& x_record = c.at("tensor0");
  const std::vector<T> x = x_record.as<T>(), y_grad = c.at("y_grad").as<T>();
  if (sweep == "fir") {  // the only one without coefficients that learn
    const std::vector<double> taps = c.at("taps").as<double>();
    const Shape s{x_record.shape[0] * x_record.shape[1], x_record.shape[1], x_record.shape[2], 1, 1, 1};
    std::vector<T> y(x.size()), x_grad(x.size());
    fir(s, {taps.data(), static_cast<int>(taps.size()), false}, x.data(), y.data());
    fir(s, {taps.data(), static_cast<int>(taps.size()), true}, y_grad.data(), x_grad.data());
    return {{"y", record_of(y, x_record.shape)}, {"grad0", record_of(x_grad, x_record.shape)}};
  }
  const Record& c_record = c.at("tensor1");
  const std::vector<T> k = c_record.as<T>();
  const std::vector<int> choices = c.at("choices").as<int>();
  const int batch = x_record.shape[0], channels = x_record.shape[1], frames = x_record.shape[2];
  const Shape s{batch * channels, channels, frames, c_record.shape[0], c_record.shape[1], 1};
  const auto streams = static_cast<std::size_t>(s.streams), items = static_cast<std::size_t>(batch);
  const auto ticks = static_cast<std::size_t>(tick_count(frames));
  const auto state_size = [&s](int sections) { return static_cast<std::size_t>(svf_state_size(s, sections)); };
  std::vector<T> y(x.size()), x_grad(x.size()), k_grad, states;
  Case out;
  const auto gradient = [](const std::vector<T>& of, const Record& record, std::size_t leading) {
    return std::vector<T>(of.size() / static_cast<std::size_t>(record.shape[0]) * leading);
  };
  if (sweep == "svf_cascade") {
    const int sections = c_record.shape[2];
    k_grad = gradient(k, c_record, streams);
    states.resize(state_size(sections));
    svf_forward(s, sections, x.data(), k.data(), y.data(), states.data());
    svf_backward(s, sections, x.data(), k.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data());
  } else if (sweep == "follower") {
    const bool decoupled = choices.at(0) != 0;
    k_grad = gradient(k, c_record, streams);
    states.resize(state_size(1));
    follower_forward(s, decoupled, x.data(), k.data(), y.data(), states.data());
    follower_backward(s, decoupled, x.data(), k.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data());
  } else if (sweep == "compressor_gain") {
    const CompressorChoices which{choices.at(0) != 0, choices.at(1) != 0, choices.at(2) != 0};
    k_grad = gradient(k, c_record, streams);
    states.resize(static_cast<std::size_t>(compressor_state_size(s)));
    compressor_forward(s, which, x.data(), k.data(), y.data(), states.data());
    compressor_backward(s, which, x.data(), k.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data());
  } else if (sweep == "allpass") {
    const int* delay = choices.data();
    k_grad = gradient(k, c_record, streams);
    states.resize(x.size());
    allpass_forward(s, delay, x.data(), k.data(), y.data(), states.data());
    allpass_backward(s, delay, x.data(), k.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data());
  } else if (sweep == "feedback_compressor") {
    const FeedbackChoices f{choices.at(0) != 0, choices.at(1) != 0, choices.at(2) != 0, choices.at(3) != 0,
                            choices.at(4)};
    k_grad = gradient(k, c_record, items);
    states.resize(streams * ticks * 7);
    feedback_forward(s, f, x.data(), k.data(), y.data(), states.data());
    feedback_backward(s, f, x.data(), k.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data());
  } else if (sweep == "feedback_network") {
    const Record& turn_record = c.at("tensor2");
    const std::vector<T> turns = turn_record.as<T>();
    std::vector<T> turn_grad = gradient(turns, turn_record, items);
    std::vector<T> w(items * static_cast<std::size_t>(frames) * 16);
    const FdnShape f{s, turn_record.shape[0], turn_record.shape[1], choices.data()};
    k_grad = gradient(k, c_record, items);
    states.resize(items * ticks * 64);
    fdn_forward(f, x.data(), k.data(), turns.data(), y.data(), w.data(), states.data());
    fdn_backward(f, k.data(), turns.data(), w.data(), states.data(), y_grad.data(), x_grad.data(), k_grad.data(),
                 turn_grad.data());
    const auto size = static_cast<int>(turn_grad.size());
    out["grad2"] = record_of(turn_grad, {size});
  } else {
    throw std::runtime_error("the sweep " + sweep + " is not in tests/cpp/targets.cc; add it");
  }
  const auto size = static_cast<int>(k_grad.size());
  out["y"] = record_of(y, x_record.shape);
  out["grad0"] = record_of(x_grad, x_record.shape);
  out["grad1"] = record_of(k_grad, {size});
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: targets CASES OUT\n");
    return 2;
  }
  try {
    std::ofstream out(argv[2], std::ios::binary);
    const std::vector<Case> cases = read(argv[1]);
    for (const Case& c : cases) {
      if (c.count("effect") > 0) {
        write(out, run_effect(c));
      } else {
        write(out, c.at("y_grad").type == "f64" ? run_sweep<double>(c) : run_sweep<float>(c));
      }
    }
    out.flush();
    if (!out) throw std::runtime_error("cannot write the results");
    std::printf("%s, %zu cases\n", twinrack::all_effects()[0]->target, cases.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "targets: %s\n", error.what());
    return 1;
  }
  return 0;
}
