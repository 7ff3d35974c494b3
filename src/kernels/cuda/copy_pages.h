#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"

namespace slora::cuda {

// Copies whole pages of the pool that starts at `base`: pairs [count] in device memory. Requires: no page is written that another pair
// reads or writes; page_bytes is a multiple of 4.
void copy_pages(Stream stream, std::byte* base, std::size_t page_bytes, const PagePair* pairs, std::int32_t count);

}  // namespace slora::cuda
