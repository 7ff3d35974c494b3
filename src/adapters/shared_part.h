#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>

#include "adapters/derived_tensor.h"
#include "adapters/image_layout.h"
#include "base/gate.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/shared_image.h"
#include "formats/safetensors.h"
#include "formats/sha256.h"

namespace slora {

// What an adapter's image takes of the pool, and what it has in common with others.
struct ImageSize {
  std::uint32_t page_count = 0;         // of its own
  std::uint32_t shared_page_count = 0;  // of the part that it shares
  Sha256Digest shared_digest{};         // see digest_of_shared(); zero where nothing is shared
  bool operator==(const ImageSize&) const = default;

  [[nodiscard]] std::uint32_t pages_in_all() const { return page_count + shared_page_count; }
};

// Of what the shared pages of an adapter's layouts hold: the slices, and type, shape and bytes of the tensors that they are of. Pages of
// equal digests are equal, on every shard. Reads the tensors, through the gate. E_READ.
[[nodiscard]] Result<Sha256Digest> digest_of_shared(std::span<const ImageLayout> layouts, const SafetensorsFile& file,
                                                    std::span<const std::shared_ptr<const DerivedTensor>> derived, Gate& gate);

// The shared images of the adapters that a store knows, by content. One thread at a time.
class SharedImageTable {
 public:
  // The same image for the same content, as long as somebody has it. Null where nothing is shared.
  [[nodiscard]] std::shared_ptr<const SharedImage> find_or_make(const ImageSize& size, const std::function<AdapterId()>& next_id);

 private:
  std::map<Sha256Digest, std::weak_ptr<const SharedImage>> known_;
};

}  // namespace slora
