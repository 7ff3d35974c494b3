#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/image_layout.h"
#include "base/result.h"
#include "formats/module_table.h"
#include "formats/sha256.h"

namespace slora {

// What adapters are made for: the base's modules, and the form that images take in the pool.
struct AdapterBase {
  ModuleTable modules;
  AdapterFormat format;
  std::size_t page_bytes = 0;
  std::int32_t rank_max = 512;
};

// An adapter of which everything but the values of its weights was checked against a base, ready to be written.
struct PreparedAdapter {
  AdapterFolder folder;
  ImageLayout layout;
  std::vector<std::string> warnings;
};

[[nodiscard]] Result<PreparedAdapter> prepare_adapter(const std::string& folder, const AdapterBase& base);

// Writes the image and returns the SHA-256 of the adapter's content: the config's bytes and all tensors. E_NONFINITE, E_READ.
// Requires: pages.size() == adapter.layout.page_count.
[[nodiscard]] Result<Sha256Digest> write_adapter(std::span<std::byte* const> pages, const std::string& folder,
                                                 const PreparedAdapter& adapter);
// The same into memory that goes away again: finds every fault that serving would.
[[nodiscard]] Result<Sha256Digest> rehearse_adapter(const std::string& folder, const PreparedAdapter& adapter);

}  // namespace slora
