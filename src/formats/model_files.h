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
  bool is_rounded_to_nf4 = false;  // when it is read
};

// All tensors of a model folder: `model.safetensors`, or the shards listed in `model.safetensors.index.json`. open() checks the header of
// every shard, and that the shards have what the index names. As in transformers, a tensor counts wherever it lies; one that lies in
// several shards must be the same in all. Reads on any thread.
class ModelFiles {
 public:
  static Result<ModelFiles> open(const std::string& folder);

  // Sorted by name.
  [[nodiscard]] std::span<const ModelTensor> tensors() const { return tensors_; }
  [[nodiscard]] const ModelTensor* find(std::string_view name) const;
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  // The name of the file that has the tensor.
  [[nodiscard]] const std::string& file_of(const ModelTensor& tensor) const { return files_[tensor.file_index].name(); }
  // What open() found that the index does not say.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  // Leaves a tensor out, or gives it another name. Require: the files have `name`, and not `to`.
  void remove(std::string_view name);
  void rename(std::string_view name, std::string to);
  // From now on the tensor is read as what NF4 keeps of its numbers (round_to_nf4), in its own type. Requires: the files have it, of a
  // float type.
  void read_as_nf4(std::string_view name);

  // Requires: `tensor` is one of tensors(), and out.size() == tensor.info.bytes.
  [[nodiscard]] Status read(const ModelTensor& tensor, std::span<std::byte> out) const;
  // Reads out.size() bytes of the tensor from `begin`. Requires: they are inside the tensor, whole elements where it is read as NF4.
  [[nodiscard]] Status read_part(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const;
  // Whether two tensors have the same type, shape and bytes.
  [[nodiscard]] Result<bool> are_equal(const ModelTensor& a, const ModelTensor& b) const;

 private:
  ModelFiles() = default;

  void sort();
  [[nodiscard]] ModelTensor& at(std::string_view name);
  [[nodiscard]] Status read_nf4(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const;
  [[nodiscard]] Status merge_duplicates();

  std::vector<SafetensorsFile> files_;
  std::vector<ModelTensor> tensors_;  // sorted by name
  std::uint64_t total_bytes_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace slora
