// zita-convolver, measured in a program of its own: it is GPL, and nothing of twinrack is linked to it here.
//
//   zita NOISE RATE IMPULSE LARGEST_PARTITION    0: all partitions as long as the block
//
// With larger partitions it starts threads of its own; they run on the core that this process is bound to, and each
// block waits for what is due, so their work counts.
#include <zita-convolver.h>

#include <cstring>

#include "measure.h"

namespace {

class Zita : public bench::Engine {
 public:
  Zita(bench::Signal impulse, int block, int largest) {
    const auto size = static_cast<std::uint32_t>(block);
    const auto frames = static_cast<std::uint32_t>(impulse[0].size());
    const std::uint32_t most = largest == 0 ? size : std::max(size, static_cast<std::uint32_t>(largest));
    convolver_.set_options(Convproc::OPT_FFTW_MEASURE | Convproc::OPT_VECTOR_MODE);
    if (convolver_.configure(2, 2, frames, size, size, most, 0.0f) != 0) {
      throw bench::Refusal("zita-convolver refuses partitions of " + std::to_string(block) + " frames");
    }
    for (std::uint32_t c = 0; c < 2; ++c) {
      convolver_.impdata_create(c, c, 1, impulse[c].data(), 0, static_cast<std::int32_t>(frames));
    }
    if (convolver_.start_process(0, SCHED_OTHER) != 0) throw bench::Refusal("zita-convolver did not start");
  }

  ~Zita() override {
    convolver_.stop_process();
    convolver_.cleanup();
  }

  void process(const float* const* in, float* const* out, int frames) override {
    const auto bytes = static_cast<std::size_t>(frames) * sizeof(float);
    for (std::uint32_t c = 0; c < 2; ++c) std::memcpy(convolver_.inpdata(c), in[c], bytes);
    convolver_.process(true);
    for (std::uint32_t c = 0; c < 2; ++c) std::memcpy(out[c], convolver_.outdata(c), bytes);
  }

 private:
  Convproc convolver_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::guarded([&] {
    if (argc != 5) throw bench::Refusal("zita NOISE RATE IMPULSE LARGEST_PARTITION");
    const auto impulse = bench::read_stereo(argv[3]);
    const int largest = std::stoi(argv[4]);
    bench::serve(argv[1], 2, std::stod(argv[2]),
                 [&](int block) { return std::make_unique<Zita>(impulse, block, largest); });
  });
}
