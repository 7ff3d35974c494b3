#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "formats/memory_file.h"

// The input is a whole file: tensors of an accepted one have the sizes of their shapes, and lie in the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  MemoryFile memory = MemoryFile::create("fuzz").value();
  check(memory.append(std::as_bytes(std::span(data, bytes))).has_value(), "expected memory for the input");
  const Result<GgufFile> file = read_gguf(std::move(memory).finish().value());
  if (!file) return 0;
  for (const ReadableTensor& tensor : file->tensors) {
    std::uint64_t expected = bytes_of(tensor.info.dtype);
    for (const std::int64_t dimension : tensor.info.shape) expected *= static_cast<std::uint64_t>(dimension);
    check(tensor.info.bytes == expected && expected <= 4 * bytes, "expected a tensor of its shape's size");
    std::vector<std::byte> out(tensor.info.bytes);
    check(tensor.read(out).has_value(), "expected the tensor's numbers within the file");
  }
  return 0;
}
