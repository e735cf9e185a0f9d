#include "bind/arrays.h"

#include <string>

#include "rt/block.h"

namespace py = pybind11;

namespace twinrack {

void check_format(double sample_rate, int channels) {
  if (!(sample_rate >= min_sample_rate && sample_rate <= max_sample_rate) || channels < 1 || channels > max_channels) {
    throw py::value_error("8 to 384 kHz and 1 to 16 channels are possible");
  }
}

void check_first_frame(std::int64_t first_frame) {
  if (first_frame >= 0 && first_frame <= last_frame && first_frame % tick_frames == 0) return;
  throw py::value_error("first_frame must be a multiple of 32 from 0 to 2^62, on which values move, got " +
                        std::to_string(first_frame));
}

int checked_frames(py::ssize_t frames) {
  if (frames < 0 || frames > max_frames) throw py::value_error("at most 2^30 frames at once; give shorter blocks");
  return static_cast<int>(frames);
}

std::vector<std::vector<float>> rows_of(const Array& array) {
  if (array.ndim() != 2) throw py::value_error("an array must be (rows, numbers) float32");
  std::vector<std::vector<float>> rows;
  for (py::ssize_t r = 0; r < array.shape(0); ++r) {
    const float* x = array.data(r, 0);
    rows.emplace_back(x, x + array.shape(1));
  }
  return rows;
}

}  // namespace twinrack
