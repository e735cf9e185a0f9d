// The interpolation filter of true peaks: four times the sample rate, with the coefficients that Rec. ITU-R BS.1770-4,
// annex 2 prints. The last two phases are the first two backwards.
#pragma once

#include <array>

namespace twinrack {

inline constexpr int true_peak_taps = 12;
inline constexpr int true_peak_delay =
    6;  // frames: the points lie this much, or up to 3/4 less, behind the newest sample
inline constexpr std::array<std::array<float, true_peak_taps>, 2> true_peak_phases{{
    {0.0017089843750f, 0.0109863281250f, -0.0196533203125f, 0.0332031250000f, -0.0594482421875f, 0.1373291015625f,
     0.9721679687500f, -0.1022949218750f, 0.0476074218750f, -0.0266113281250f, 0.0148925781250f, -0.0083007812500f},
    {-0.0291748046875f, 0.0292968750000f, -0.0517578125000f, 0.0891113281250f, -0.1665039062500f, 0.4650878906250f,
     0.7797851562500f, -0.2003173828125f, 0.1015625000000f, -0.0582275390625f, 0.0330810546875f, -0.0189208984375f},
}};

}  // namespace twinrack
