// numpy arrays and stream formats as the bindings take them, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

namespace twinrack {

using Array = pybind11::array_t<float, pybind11::array::c_style>;

inline constexpr std::int64_t last_frame = std::int64_t{1} << 62;
inline constexpr pybind11::ssize_t max_frames = pybind11::ssize_t{1} << 30;

// Refuse what would size memory wrongly.
void check_format(double sample_rate, int channels);
void check_first_frame(std::int64_t first_frame);
int checked_frames(pybind11::ssize_t frames);

std::vector<std::vector<float>> rows_of(const Array& array);

}  // namespace twinrack
