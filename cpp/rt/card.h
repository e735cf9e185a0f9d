// What the engine needs to know of a parameter; the rows are generated from the cards.
#pragma once

namespace twinrack {

enum class Scale { linear, log, step };

struct Parameter {
  const char* address;  // below the effect: "ratio", "band2.gain_db"
  Scale scale;          // in which a glide is a straight line; a step does not glide
  float min;
  float max;
  float initial;
  float smoothing_ms;
};

}  // namespace twinrack
