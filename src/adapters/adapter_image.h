#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_version.h"
#include "adapters/changed_rows.h"
#include "adapters/context_extension.h"
#include "adapters/image_layout.h"
#include "adapters/rope_parts.h"
#include "adapters/shared_part.h"
#include "adapters/vera_projection.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/model_files.h"
#include "formats/module_table.h"
#include "formats/sha256.h"

namespace slora {

// What adapters must fit: the base's modules as its shards cut them, and how images are stored in the pools.
struct AdapterBase {
  ModuleTable modules;
  AdapterFormat format;
  std::size_t page_bytes = 0;
  std::int32_t rank_max = kAdapterRankMax;
  // The base's weights as trainers have them, for families that compute with them; may be null, and then those are refused.
  std::shared_ptr<const ModelFiles> weights{};
  // Shared by copies: random numbers that many adapters have in common.
  std::shared_ptr<VeraProjections> projections = std::make_shared<VeraProjections>();
  // Of adapters that extend the context, as limits of the model say; 0: they are refused.
  std::int64_t extended_positions_max = 0;
  std::shared_ptr<RopeParts> rope_parts = std::make_shared<RopeParts>();  // shared by copies
  // Shared by copies: what was found of the adapters that were prepared last.
  std::shared_ptr<ChangedRowLists> changed_rows = std::make_shared<ChangedRowLists>();
};

// An adapter that has been checked against a base, except for the values of its weights, and is ready to be written.
struct PreparedAdapter {
  AdapterFolder folder;
  std::vector<ImageLayout> layouts;  // [shards]
  std::vector<std::shared_ptr<const DerivedTensor>> derived;
  std::vector<std::string> warnings;
  std::int32_t added_tokens = 0;  // beyond the base's vocabulary
  std::optional<ContextExtension> extension{};
  std::shared_ptr<const RopePart> rope{};  // where there is an extension
  // Of the largest image: an adapter takes the same pages on every shard, its own first.
  ImageSize size{};

  [[nodiscard]] AdapterTraits traits() const;
};

// Passes the gate as it reads numbers, which forms of other programs, sparse matrices, shared parts and saved weights need; E_READ when it
// was closed.
[[nodiscard]] Result<PreparedAdapter> prepare_adapter(Folder folder, const AdapterBase& base, Gate& gate);
// Of a folder that may take its time.
[[nodiscard]] Result<PreparedAdapter> prepare_adapter(const FolderPath& folder, const AdapterBase& base);

// Writes the images of all shards and returns the SHA-256 of the adapter's content: the config's bytes, what config.json says of RoPE and
// all tensors. E_NONFINITE,
// E_READ, also when `gate`, through which pages are written, was closed. Requires: pages of every shard, as many as its layout has or more.
[[nodiscard]] Result<Sha256Digest> write_adapter(std::span<const ImagePages> pages, const PreparedAdapter& adapter, Gate& gate,
                                                 SharedPart shared = SharedPart::write);
// The same into temporary memory: finds every fault that serving would.
[[nodiscard]] Result<Sha256Digest> verify_adapter(const PreparedAdapter& adapter, Gate& gate);

}  // namespace slora
