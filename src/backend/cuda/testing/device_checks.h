#pragma once
#include <cstddef>
#include <string>

#include "backend/cuda/device_api.h"

namespace slora::cuda {

// What any device must do: copies of all kinds, pieces, fills, events between streams, and graphs that copy what memory holds now.
// Launches nothing. Copies parts of so many bytes: on a device they should take long enough that streams overlap. Returns what was wrong,
// or nothing.
[[nodiscard]] std::string check_device(DeviceApi& device, std::size_t part_bytes);

}  // namespace slora::cuda
