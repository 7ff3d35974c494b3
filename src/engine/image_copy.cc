#include "engine/image_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "backend/device_error.h"
#include "base/check.h"
#include "engine/memory_limits.h"

namespace slora {
namespace {

constexpr std::chrono::milliseconds kWaitOfCopy{50};  // after which it is asked again

void wait_for_copy(Backend& backend, Fence fence) {
  while (!backend.wait(fence, kWaitOfCopy)) continue;
}

}  // namespace

bool try_copy_image(Backend& backend, ImagePages to, ImagePages from, std::size_t page_bytes, Gate& gate, const ImageCopyLimits& limits) {
  check(to.size() >= from.size(), "expected as many pages as the image has");
  const std::size_t pages_of_piece = std::max<std::size_t>(1, limits.piece_bytes / page_bytes);
  const std::size_t pages_of_stretch = std::max(pages_of_piece, limits.stretch_bytes / page_bytes);
  std::vector<CopyIn> copies;
  for (std::size_t begin = 0; begin < from.size(); begin += pages_of_stretch) {
    const std::size_t end = std::min(begin + pages_of_stretch, from.size());
    const auto copy = [&] {
      Fence before;
      for (std::size_t piece = begin; piece < end; piece += pages_of_piece) {
        copies.clear();
        for (std::size_t i = piece; i < std::min(piece + pages_of_piece, end); ++i) copies.push_back({to[i], from[i], page_bytes});
        const Fence copied = backend.copy_in(copies);
        wait_for_copy(backend, before);
        before = copied;
      }
      wait_for_copy(backend, before);
    };
    if (!gate.pass(copy)) return false;
  }
  return true;
}

Buffer image_memory(Backend& backend, std::size_t bytes) {
  try {
    return backend.host_memory(bytes);
  } catch (const DeviceError& refused) {
    throw DeviceError(
        fmt::format("page-locked memory of {} for adapters, which --host-adapter-memory sets: {}", shown_bytes(bytes), refused.what()));
  }
}

}  // namespace slora
