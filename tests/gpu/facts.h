#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/stream.h"

namespace slora::cuda {

// Random bf16 from -1 to 1, other ones for each seed.
void fill_random(Stream stream, std::uint16_t* out, std::size_t count, std::uint32_t seed);
// One that does nothing.
void launch_empty(Stream stream);

}  // namespace slora::cuda
