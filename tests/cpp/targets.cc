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

#include "adjoint/fir.h"
#include "adjoint/sweep.h"
#include "engine/effect.h"
#include "engine/rack.h"
#include "engine/render_many.h"
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

std::string text_of(const Record& record) {
  const std::vector<char> text = record.as<char>();
  return {text.begin(), text.end()};
}

// One effect, from silence; `blocks` are the lengths of the blocks, again and again until the end.
std::vector<float> render(const Case& c, const std::vector<int>& blocks) {
  const std::vector<double> format = c.at("format").as<double>();
  const int channels = static_cast<int>(format[1]), frames = c.at("x").shape[1];
  const bool keyed = c.count("key") > 0;
  Node effect, root;
  effect.kind = Node::Kind::effect;
  effect.effect = text_of(c.at("effect"));
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

// The beginning of a case at several levels, each alone and all at once.
void add_side_by_side(const Case& c, Case& results) {
  constexpr int count = 7;
  const std::vector<double> format = c.at("format").as<double>();
  const Record& x = c.at("x");
  const int channels = x.shape[0], frames = std::min(x.shape[1], 3000);
  const std::vector<float> all = x.as<float>(), values;
  Node effect, root;
  effect.kind = Node::Kind::effect;
  effect.effect = text_of(c.at("effect"));
  effect.values = c.at("values").as<float>();
  root.children = {effect};
  const int latency = twinrack::Rack(root, {format[0], channels}).latency(), length = frames + latency;
  const auto size = static_cast<std::size_t>(channels) * static_cast<std::size_t>(frames);
  std::vector<float> sounds(count * size), together(count * size), alone;
  twinrack::Renderings renderings{format[0], {}, {}};
  float level = 1.0f;
  for (std::size_t k = 0; k < count; ++k, level *= 0.5f) {
    std::vector<float> padded(static_cast<std::size_t>(channels) * static_cast<std::size_t>(length));
    for (int n = 0; n < channels; ++n) {
      for (int i = 0; i < frames; ++i) {
        const float sample = level * all[static_cast<std::size_t>(n * x.shape[1] + i)];
        sounds[k * size + static_cast<std::size_t>(n * frames + i)] = padded[static_cast<std::size_t>(n * length + i)] =
            sample;
      }
    }
    Case beginning = c;
    beginning["x"] = record_of(padded, {channels, length});
    const std::vector<float> y = render(beginning, {length});
    for (int n = 0; n < channels; ++n) {
      alone.insert(alone.end(), y.begin() + n * length + latency, y.begin() + (n + 1) * length);
    }
    renderings.all.push_back(
        {&root, values.data(), sounds.data() + k * size, {}, {}, together.data() + k * size, channels, frames});
  }
  twinrack::render_many(renderings, 1, [] { return true; });
  results["alone"] = record_of(alone, {count, channels, frames});
  results["together"] = record_of(together, {count, channels, frames});
}

Case run_effect(const Case& c) {
  const Record& x = c.at("x");
  Case results{{"whole", record_of(render(c, {x.shape[1]}), x.shape)},
               {"cut", record_of(render(c, c.at("blocks").as<int>()), x.shape)}};
  if (c.count("key") == 0 && c.count("automated") == 0) add_side_by_side(c, results);
  return results;
}

template <class T>
Case run_fir(const Case& c) {
  const Record& x_record = c.at("tensor0");
  const std::vector<T> x = x_record.as<T>(), y_grad = c.at("y_grad").as<T>();
  const std::vector<double> taps = c.at("taps").as<double>();
  const int count = static_cast<int>(taps.size());
  const Shape shape{x_record.shape[0] * x_record.shape[1], x_record.shape[1], x_record.shape[2], 1, 1, 1};
  std::vector<T> y(x.size()), x_grad(x.size());
  twinrack::adjoint::fir(shape, {taps.data(), count, false}, x.data(), y.data());
  twinrack::adjoint::fir(shape, {taps.data(), count, true}, y_grad.data(), x_grad.data());
  return {{"y", record_of(y, x_record.shape)}, {"grad0", record_of(x_grad, x_record.shape)}};
}

// Forwards and backwards through one sweep; gradients of coefficients come out for every stream or batch item.
template <class T>
Case run_sweep(const Case& c) {
  namespace adjoint = twinrack::adjoint;
  const std::string name = text_of(c.at("sweep"));
  if (name == "fir") return run_fir<T>(c);
  const adjoint::SweepType* type = adjoint::find_sweep(name);
  if (type == nullptr) throw std::runtime_error("there is no sweep " + name);

  const Record& x_record = c.at("tensor0");
  const std::vector<T> x = x_record.as<T>(), y_grad = c.at("y_grad").as<T>();
  std::vector<T> y(x.size()), x_grad(x.size());
  std::vector<std::vector<T>> coefficients, grads, memory;
  adjoint::SweepRequest request;
  for (int i = 1; c.count("tensor" + std::to_string(i)) > 0; ++i) {
    const Record& record = c.at("tensor" + std::to_string(i));
    coefficients.push_back(record.as<T>());
    request.coefficients.emplace_back(record.shape.begin(), record.shape.end());
  }
  const adjoint::Sizes& first = request.coefficients.at(0);
  request.shape = {x_record.shape[0] * x_record.shape[1],
                   x_record.shape[1],
                   x_record.shape[2],
                   static_cast<int>(first.at(0)),
                   static_cast<int>(first.at(1)),
                   1};
  request.options = c.at("options").as<int>();
  const adjoint::SweepLayout layout = type->layout(request);

  adjoint::ForwardPass<T> forward{request, x.data(), {}, y.data(), {}};
  adjoint::BackwardPass<T> backward{request, x.data(), {}, {}, y_grad.data(), x_grad.data(), {}};
  for (const std::int64_t size : layout.memory) memory.emplace_back(static_cast<std::size_t>(size));
  for (std::vector<T>& numbers : memory) {
    forward.memory.push_back(numbers.data());
    backward.memory.push_back(numbers.data());
  }
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    const auto rows = static_cast<std::size_t>(request.coefficients[i].at(0));
    grads.emplace_back(coefficients[i].size() / rows * static_cast<std::size_t>(layout.gradient_rows));
    forward.coefficients.push_back(coefficients[i].data());
    backward.coefficients.push_back(coefficients[i].data());
    backward.coefficient_grads.push_back(grads.back().data());
  }
  type->forward(forward);
  type->backward(backward);

  Case out{{"y", record_of(y, x_record.shape)}, {"grad0", record_of(x_grad, x_record.shape)}};
  for (std::size_t i = 0; i < grads.size(); ++i) {
    out["grad" + std::to_string(i + 1)] = record_of(grads[i], {static_cast<int>(grads[i].size())});
  }
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
