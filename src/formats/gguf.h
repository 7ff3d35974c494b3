#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/file.h"
#include "formats/readable_tensor.h"

namespace slora {

// Of adapters: a base model's header, with its vocabulary, is longer.
struct GgufLimits {
  std::uint64_t header_bytes_max = std::uint64_t{4} << 20;
  std::uint64_t tensors_max = 16384;
  std::uint64_t entries_max = 4096;
  std::uint64_t name_bytes_max = 512;
};

// A value of a GGUF file's header. Nothing: a list of texts or fractions, or an integer that does not fit.
using GgufValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::int64_t>>;

// A GGUF file, as llama.cpp writes them (version 2 or 3, little-endian): its tensors, row-major and outermost dimension first. Q8_0 is read
// as the F32 numbers that it stands for, exactly.
struct GgufFile {
  std::vector<std::pair<std::string, GgufValue>> entries;
  std::vector<ReadableTensor> tensors;

  // The value of this key, or nullptr.
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
};

// Every length and place is checked against the file before it is used. E_GGUF names what was expected and found; E_DTYPE for a tensor
// whose numbers are rounded in another way.
[[nodiscard]] Result<GgufFile> read_gguf(ReadOnlyFile file, const GgufLimits& limits = {});

}  // namespace slora
