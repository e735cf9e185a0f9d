// The part of LV2's C interface that the engine needs (lv2plug.in/ns/lv2core, lv2/core/lv2.h), declared from its
// specification.
#pragma once

#include <cstdint>

#include "rt/realtime.h"

namespace twinrack::lv2 {

using Handle = void*;

struct Feature {
  const char* uri;
  void* data;
};

struct Descriptor {
  const char* uri;
  Handle (*instantiate)(const Descriptor*, double sample_rate, const char* bundle, const Feature* const* features);
  void (*connect_port)(Handle, std::uint32_t port, void* data);
  void (*activate)(Handle);
  void (*run)(Handle, std::uint32_t frames);
  void (*deactivate)(Handle);
  void (*cleanup)(Handle);
  const void* (*extension_data)(const char* uri);
};

struct Library {
  void* handle;
  std::uint32_t size;
  void (*cleanup)(void* handle);
  const Descriptor* (*get_plugin)(void* handle, std::uint32_t index);
};

}  // namespace twinrack::lv2
