#pragma once
#include <cstddef>
#include <span>

#include "adapters/image_layout.h"
#include "base/result.h"
#include "formats/safetensors.h"
#include "formats/sha256.h"

namespace slora {

// Reads the tensors of `file` once, in the order of their bytes, rounds the slices that the layout stores to its element type and writes
// them to their places; what no tensor covers is zero. Feeds `content` with names, types, shapes and bytes of all tensors, whatever the
// slices. Uses a few MiB of memory however large the adapter is. E_NONFINITE names the tensor; after an error the pages' content is
// undefined.
// Requires: `layout` was made from this file's header; pages.size() == layout.page_count.
[[nodiscard]] Status write_image(std::span<std::byte* const> pages, const ImageLayout& layout, const SafetensorsFile& file,
                                 Sha256& content);

}  // namespace slora
