#pragma once
#include <cstddef>

#include "adapters/image_layout.h"
#include "backend/backend.h"
#include "base/gate.h"

namespace slora {

// Images are copied to a device a piece at a time, so that the loads of small ones do not wait for the whole of a large one. A closing gate
// waits for the end of a stretch of pieces.
struct ImageCopyLimits {
  std::size_t piece_bytes = std::size_t{16} << 20;     // less than a millisecond between a host and a device of today
  std::size_t stretch_bytes = std::size_t{128} << 20;  // a few
};

// Copies an image from memory of backend.host_memory() into pages of the pool, through `gate`; false once that is closed. Two pieces are
// under way at a time, so that the link does not wait for the host; none when a stretch ends, so that nothing is written behind a closed
// gate. Pages are `page_bytes` long. Any thread. Throws a DeviceError.
[[nodiscard]] bool try_copy_image(Backend& backend, ImagePages to, ImagePages from, std::size_t page_bytes, Gate& gate,
                                  const ImageCopyLimits& limits = {});

// Memory of the host for images. Throws a DeviceError that says what it is for.
[[nodiscard]] Buffer image_memory(Backend& backend, std::size_t bytes);

}  // namespace slora
