#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/file.h"
#include "tensor/dtype.h"

namespace slora {

// One tensor of a safetensors file; row-major, the last dimension contiguous.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // outermost first; empty for a scalar
  std::uint64_t offset = 0;         // of the first byte in the file
  std::uint64_t bytes = 0;          // product of shape x element size, exactly
};

// Bytes of one row of a matrix; an element of a vector is a row. Requires: at most two dimensions.
[[nodiscard]] inline std::uint64_t row_bytes(const TensorInfo& info) {
  return bytes_of(info.dtype) * static_cast<std::uint64_t>(info.shape.size() < 2 ? 1 : info.shape[1]);
}

// The defaults are for adapters: A and B of gate, up and down of 128 experts in 100 layers. A longer header is refused before it is read.
struct SafetensorsLimits {
  std::uint64_t header_bytes_max = std::uint64_t{16} << 20;
  std::size_t tensors_max = 81920;
  std::size_t name_bytes_max = 512;
};
// Limits for base models, whose headers name many more tensors.
inline constexpr SafetensorsLimits kModelFileLimits{.header_bytes_max = 100'000'000, .tensors_max = 1 << 20};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;                            // in the order of their bytes in the file
  std::vector<std::pair<std::string, std::string>> metadata;  // "__metadata__"
};

// Checks a header strictly: ranges disjoint, without gaps, ending at the end of the file; sizes that match shapes; known
// element types; no duplicate names. `header` is the JSON text, `file_bytes` the length of the whole file. E_SAFETENSORS
// names tensor, expected and found.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view header, std::uint64_t file_bytes, const SafetensorsLimits& limits = {});

// An open safetensors file whose header has been checked. Bytes are read into the caller's memory, never mapped: if the file
// changes meanwhile, a read returns an error or other values, but never raises a signal. Several threads may read at once.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::string& path, const SafetensorsLimits& limits = {});
  static Result<SafetensorsFile> open(Result<ReadOnlyFile> file, const SafetensorsLimits& limits = {});

  [[nodiscard]] std::span<const TensorInfo> tensors() const { return header_.tensors; }
  [[nodiscard]] const SafetensorsHeader& header() const { return header_; }
  // The file's name without its folder.
  [[nodiscard]] const std::string& name() const { return file_.name(); }
  [[nodiscard]] std::uint64_t file_bytes() const { return file_.bytes(); }
  // The tensor of this name, or nullptr.
  [[nodiscard]] const TensorInfo* find(std::string_view name) const;

  // Reads a whole tensor. Requires: `tensor` is one of tensors(), out.size() == tensor.bytes.
  [[nodiscard]] Status read(const TensorInfo& tensor, std::span<std::byte> out) const;
  // Reads out.size() bytes of the tensor from `begin`. Requires: they are inside the tensor.
  [[nodiscard]] Status read_part(const TensorInfo& tensor, std::uint64_t begin, std::span<std::byte> out) const;

 private:
  SafetensorsFile(ReadOnlyFile file, SafetensorsHeader header);

  ReadOnlyFile file_;
  SafetensorsHeader header_;
  std::vector<std::uint32_t> by_name_;  // indices into header_.tensors, sorted by name
};

}  // namespace slora
