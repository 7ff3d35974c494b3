#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "formats/safetensors.h"

// The input is a whole file: an accepted header describes exactly the bytes after it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  if (bytes < 8) return 0;
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 8; i-- > 0;) header_bytes = header_bytes << 8 | data[i];
  if (header_bytes > bytes - 8) return 0;
  const Result<SafetensorsHeader> header = parse_safetensors_header({reinterpret_cast<const char*>(data + 8), header_bytes}, bytes);
  if (!header) return 0;
  std::uint64_t at = 8 + header_bytes;
  for (const TensorInfo& tensor : header->tensors) {
    check(tensor.offset == at, "expected tensors without gaps");
    std::uint64_t expected = bytes_of(tensor.dtype);
    for (const std::int64_t dimension : tensor.shape) expected *= static_cast<std::uint64_t>(dimension);
    check(tensor.bytes == expected && tensor.bytes <= bytes - at, "expected a tensor of its shape's size within the file");
    at += tensor.bytes;
  }
  check(at == bytes, "expected tensors up to the end of the file");
  return 0;
}
