// Our side: racks of the engine, fed block by block.
//
//   ours NOISE RATE CHANNELS COPIES [EFFECT [ADDRESS=VALUE]... [@IMPULSE]]...
//
// Parameters that are not named stand at their card's default. COPIES racks run one after the other in every block.
#include <cstring>

#include "engine/effect.h"
#include "engine/rack.h"
#include "measure.h"

namespace {

using twinrack::EffectType;
using twinrack::Node;

void give_impulse_response(Node& node, const std::string& path) {
  for (const auto& channel : bench::read_stereo(path)) node.resource.emplace_back(channel.begin(), channel.end());
}

Node make_effect(const std::string& id) {
  const EffectType* type = twinrack::find_effect(id.c_str());
  if (type == nullptr) throw bench::Refusal("the engine has no effect called " + id);
  Node node;
  node.kind = Node::Kind::effect;
  node.effect = id;
  for (int i = 0; i < type->parameter_count; ++i) node.values.push_back(type->parameters[i].initial);
  return node;
}

void set(Node& node, const std::string& address, float value) {
  const EffectType& type = *twinrack::find_effect(node.effect.c_str());
  for (int i = 0; i < type.parameter_count; ++i) {
    if (address == type.parameters[i].address) {
      node.values[static_cast<std::size_t>(i)] = value;
      return;
    }
  }
  throw bench::Refusal(node.effect + " has no parameter " + address);
}

class Racks : public bench::Engine {
 public:
  Racks(const Node& root, const twinrack::Format& format, int copies, int block) : channels_(format.channels) {
    for (int i = 0; i < copies; ++i) {
      racks_.push_back(std::make_unique<twinrack::Rack>(root, format));
      buffers_.emplace_back(static_cast<std::size_t>(channels_) * static_cast<std::size_t>(block));
    }
  }

  void process(const float* const* in, float* const* out, int frames) override {
    const auto bytes = static_cast<std::size_t>(frames) * sizeof(float);
    for (std::size_t i = 0; i < racks_.size(); ++i) {
      float* channel[twinrack::max_channels];
      for (int c = 0; c < channels_; ++c) {
        channel[c] = buffers_[i].data() + static_cast<std::ptrdiff_t>(c) * frames;
        std::memcpy(channel[c], in[c], bytes);
      }
      racks_[i]->process(channel, nullptr, frames);
      for (int c = 0; c < channels_; ++c) std::memcpy(out[c], channel[c], bytes);
    }
  }

 private:
  int channels_;
  std::vector<std::unique_ptr<twinrack::Rack>> racks_;
  std::vector<std::vector<float>> buffers_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::guarded([&] {
    if (argc < 5) throw bench::Refusal("ours NOISE RATE CHANNELS COPIES [EFFECT [ADDRESS=VALUE]... [@IMPULSE]]...");
    const double rate = std::stod(argv[2]);
    const int channels = std::stoi(argv[3]), copies = std::stoi(argv[4]);
    Node root;
    for (int i = 5; i < argc; ++i) {
      const std::string word = argv[i];
      std::string address;
      float value = 0;
      if (word[0] == '@') {
        give_impulse_response(root.children.back(), word.substr(1));
      } else if (bench::split(word, address, value)) {
        set(root.children.back(), address, value);
      } else {
        root.children.push_back(make_effect(word));
      }
    }
    bench::serve(argv[1], channels, rate, [&](int block) {
      return std::make_unique<Racks>(root, twinrack::Format{rate, channels}, copies, block);
    });
  });
}
