#pragma once
#include <cstddef>
#include <span>

#include "ops/kv_layer.h"

namespace slora::reference {

// Copies whole pages of the pool that starts at `base`, in order.
void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies);

}  // namespace slora::reference
