// A row of an effect's parameter table; the rows are generated from the cards.
#pragma once

namespace twinrack {

enum class Scale { linear, log, step };

struct Parameter {
  const char* address;  // below the effect: "ratio", "band2.gain_db"
  Scale scale;          // the scale in which it glides; `step` does not glide
  float min;
  float max;
  float initial;
  float smoothing_ms;
};

}  // namespace twinrack
