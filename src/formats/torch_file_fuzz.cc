#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "formats/memory_file.h"
#include "formats/torch_file.h"

// The input is a whole file: tensors of an accepted one have the sizes of their shapes, and lie in the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  MemoryFile memory = MemoryFile::create("fuzz").value();
  check(memory.append(std::as_bytes(std::span(data, bytes))).has_value(), "expected memory for the input");
  const Result<std::vector<ReadableTensor>> tensors = read_torch_file(std::move(memory).finish().value());
  if (!tensors) return 0;
  for (const ReadableTensor& tensor : *tensors) {
    std::uint64_t expected = bytes_of(tensor.info.dtype);
    for (const std::int64_t dimension : tensor.info.shape) expected *= static_cast<std::uint64_t>(dimension);
    check(tensor.info.bytes == expected && expected <= bytes, "expected a tensor of its shape's size");
    std::vector<std::byte> out(tensor.info.bytes);
    check(tensor.read(out).has_value(), "expected the tensor's numbers within the file");
  }
  return 0;
}
