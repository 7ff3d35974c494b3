#pragma once
#include <compare>
#include <cstdint>

#include "base/ids.h"

namespace slora {

// What the images of several adapters have in common, byte by byte: it is in the pool once, on pages of its own.
struct SharedImage {
  AdapterId id;  // of its content; no adapter has the same
  std::uint32_t page_count = 0;
  auto operator<=>(const SharedImage&) const = default;
};

}  // namespace slora
