#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "base/check.h"
#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"
#include "formats/memory_file.h"

namespace {

using namespace slora;

// A block of 84 bytes is 256 numbers of 4 bytes, the most of all types.
constexpr std::uint64_t kWideningMax = 13;

void read_tensors(const GgufFile& file, std::size_t bytes) {
  for (const GgufTensor& tensor : file.tensors) {
    std::uint64_t expected = bytes_of(tensor.info.dtype);
    for (const std::int64_t dimension : tensor.info.shape) expected *= static_cast<std::uint64_t>(dimension);
    check(tensor.info.bytes == expected && expected <= kWideningMax * bytes, "expected a tensor of its shape's size");
    std::vector<std::byte> out(tensor.info.bytes);
    check(readable_tensor(file, tensor).read(out).has_value(), "expected the tensor's numbers within the file");
  }
}

// What a base model is made of; any of it may be refused.
void read_model(GgufFile file) {
  const Result<GgufModel> model = gguf_model_of({std::move(file)});
  if (!model) return;
  static_cast<void>(tokenizer_of_gguf(model->head()));
  const Result<GgufConfig> config = config_of_gguf(*model);
  if (!config) return;
  static_cast<void>(model_config_of_gguf(*model));
  const Result<ModelFiles> files = files_of_gguf(*model, *config->config);
  if (!files) return;
  for (const ModelTensor& tensor : files->tensors()) {
    std::vector<std::byte> out(tensor.info.bytes);
    check(files->read(tensor, out).has_value(), "expected the numbers of a tensor whose rows may be in another order");
  }
}

}  // namespace

// The input is a whole file: tensors of an accepted one have the sizes of their shapes, and lie in the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  MemoryFile memory = MemoryFile::create("fuzz").value();
  check(memory.append(std::as_bytes(std::span(data, bytes))).has_value(), "expected memory for the input");
  Result<GgufFile> file = read_gguf(std::move(memory).finish().value(), kGgufModelLimits);
  if (!file) return 0;
  read_tensors(*file, bytes);
  read_model(std::move(*file));
  return 0;
}
