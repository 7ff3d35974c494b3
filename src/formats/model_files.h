#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"

namespace slora {

// A tensor of a model folder and the file that contains it.
struct ModelTensor {
  TensorInfo info;
  std::size_t file_index = 0;
};

// All tensors of a model folder: `model.safetensors`, or the shards listed in `model.safetensors.index.json`. open()
// checks the header of every shard, and that index and shards name the same tensors. Reads on any thread.
class ModelFiles {
 public:
  static Result<ModelFiles> open(const std::string& folder);

  // Sorted by name.
  [[nodiscard]] std::span<const ModelTensor> tensors() const { return tensors_; }
  [[nodiscard]] const ModelTensor* find(std::string_view name) const;
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }

  // Requires: `tensor` is one of tensors(), and out.size() == tensor.info.bytes.
  [[nodiscard]] Status read(const ModelTensor& tensor, std::span<std::byte> out) const;
  // Reads out.size() bytes of the tensor from `begin`. Requires: they are inside the tensor.
  [[nodiscard]] Status read_part(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const;

 private:
  ModelFiles() = default;

  std::vector<SafetensorsFile> files_;
  std::vector<ModelTensor> tensors_;  // sorted by name
  std::uint64_t total_bytes_ = 0;
};

}  // namespace slora
