#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"
#include "formats/tensor_form.h"

namespace slora {

// A tensor of a model's files and the file that contains it, or the first part of it.
struct ModelTensor {
  TensorInfo info;  // of what is read; its offset says where it lies in the file, for reading in that order
  std::size_t file_index = 0;
  std::shared_ptr<const TensorForm> form;  // null: the bytes of the file are what is read
};

// All tensors of a model folder: `model.safetensors`, or the shards listed in `model.safetensors.index.json`. open() checks the header of
// every shard, and that the shards have what the index names. As in transformers, a tensor counts wherever it lies; one that lies in
// several shards must be the same in all. Reads on any thread.
class ModelFiles {
 public:
  static Result<ModelFiles> open(const std::string& folder);
  // Of files of another kind, which have these names, and in which the tensors take `total_bytes`. Requires: every tensor has a form, and a
  // name of its own.
  static ModelFiles of_forms(std::vector<std::string> file_names, std::vector<ModelTensor> tensors, std::uint64_t total_bytes);

  // Sorted by name.
  [[nodiscard]] std::span<const ModelTensor> tensors() const { return tensors_; }
  [[nodiscard]] const ModelTensor* find(std::string_view name) const;
  // Of the tensors in the files.
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  // The name of the file that has the tensor.
  [[nodiscard]] const std::string& file_of(const ModelTensor& tensor) const { return names_[tensor.file_index]; }
  // What open() found that the index does not say.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  // Leaves tensors out, each once, or gives one another name. Require: the files have them, and not `to`. Pointers to tensors end.
  void remove(std::string_view name);
  void remove(std::span<const std::string> names);
  void rename(std::string_view name, std::string to);
  // From now on the tensor is read through `form`, and is what `info` says. Requires: the files have `name`; no other has info.name.
  void read_through(std::string_view name, TensorInfo info, std::shared_ptr<const TensorForm> form);
  // The tensor as it lies in its file, for forms to read from. Requires: `tensor` is one of tensors() and has no form.
  [[nodiscard]] StoredTensor stored(const ModelTensor& tensor) const;

  // Requires: `tensor` is one of tensors(), and out.size() == tensor.info.bytes.
  [[nodiscard]] Status read(const ModelTensor& tensor, std::span<std::byte> out) const;
  // Reads out.size() bytes of the tensor from `begin`. Requires: they are inside the tensor. Whole rows are read without a copy.
  [[nodiscard]] Status read_part(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const;
  // Whether two tensors have the same type, shape and bytes.
  [[nodiscard]] Result<bool> are_equal(const ModelTensor& a, const ModelTensor& b) const;

 private:
  ModelFiles() = default;

  void sort();
  // Restores the order of names after one has changed.
  void move_to_place(const ModelTensor& moved);
  [[nodiscard]] ModelTensor& at(std::string_view name);
  [[nodiscard]] Status merge_duplicates();

  std::vector<std::shared_ptr<const SafetensorsFile>> files_;  // none, of files of another kind
  std::vector<std::string> names_;                             // of the files
  std::vector<ModelTensor> tensors_;                           // sorted by name
  std::uint64_t total_bytes_ = 0;
  std::vector<std::string> warnings_;
};

// "210 in Q4_1, 1 in Q8_0": how many tensors the files keep in each type.
[[nodiscard]] std::string shown_stored_types(const ModelFiles& files);

}  // namespace slora
