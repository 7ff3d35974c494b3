#pragma once
#include <cstddef>
#include <span>

#include "adapters/image_layout.h"
#include "base/result.h"
#include "formats/safetensors.h"
#include "formats/sha256.h"

namespace slora {

// Reads the tensors of `file` once, in the order of their bytes, rounds them to the layout's element type and writes them to their
// places; what no tensor covers becomes zero. Feeds `content` with names, types, shapes and bytes of all tensors. Takes a few
// MiB of memory whatever the size of the adapter. E_NONFINITE names the tensor; after an error the pages hold nothing of use.
// Requires: `layout` was made from this file's header; pages.size() == layout.page_count.
[[nodiscard]] Status write_image(std::span<std::byte* const> pages, const ImageLayout& layout, const SafetensorsFile& file,
                                 Sha256& content);

}  // namespace slora
