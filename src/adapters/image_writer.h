#pragma once
#include <cstddef>
#include <memory>
#include <span>

#include "adapters/image_layout.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/safetensors.h"
#include "formats/sha256.h"

namespace slora {

// Where one shard's image goes.
struct ImageTarget {
  ImagePages pages;
  const ImageLayout* layout;
  SharedPart shared = SharedPart::write;
};

// Reads the tensors of `file` once, in the order of their bytes, rounds the slices that the layouts store to their element type and writes
// them to their places; what no tensor covers is zero. Then computes the derived tensors, and writes those. Feeds `content` with names,
// types, shapes and bytes of all tensors of the file, whatever the slices. Uses a few MiB of memory however large the adapter is, and what
// its derived tensors need. E_NONFINITE names the tensor, also when finite numbers would overflow in use; after an error the pages' content
// is undefined. Pages are written only through `gate`: E_READ once that is closed. Requires: the layouts were made from this file's header,
// are of one format; each target has as many pages as its layout, or more, which are left as they are. What is shared and left is read and
// checked like the rest, and needs no pages.
[[nodiscard]] Status write_images(std::span<const ImageTarget> targets, const SafetensorsFile& file,
                                  std::span<const std::shared_ptr<const DerivedTensor>> derived, Sha256& content, Gate& gate);

}  // namespace slora
