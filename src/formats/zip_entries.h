#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/file.h"

namespace slora {

// A file within a zip archive, stored as it is.
struct ZipEntry {
  std::string name;
  std::uint64_t offset = 0;  // of its first byte in the archive
  std::uint64_t bytes = 0;
};

struct ZipLimits {
  std::uint64_t directory_bytes_max = std::uint64_t{16} << 20;
  std::uint64_t entries_max = 1 << 17;
};

// The entries of an archive, also of one above 4 GiB (zip64). All lie within the file. E_ZIP, also when one is compressed or encrypted:
// PyTorch writes none, and without decompression no small file becomes a large one.
[[nodiscard]] Result<std::vector<ZipEntry>> read_zip_entries(const ReadOnlyFile& file, const ZipLimits& limits = {});

}  // namespace slora
