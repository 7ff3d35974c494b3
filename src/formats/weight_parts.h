#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/model_files.h"
#include "formats/tensor_form.h"

namespace slora {

// The tensors `module`.PART that make one quantised weight, while it is put together. Borrows the files and the name. One thread.
class WeightParts {
 public:
  WeightParts(const ModelFiles& files, const std::string& module) : files_(files), module_(module) {}

  [[nodiscard]] bool has(std::string_view part) const;
  // The part, if it has one of these types and shapes: E_MISSING_TENSOR, E_DTYPE or E_SHAPE.
  [[nodiscard]] Result<StoredTensor> require(std::string_view part, std::span<const DType> dtypes,
                                             std::span<const std::vector<std::int64_t>> shapes) const;
  // The same for any matrix that is not empty.
  [[nodiscard]] Result<StoredTensor> require_matrix(std::string_view part, std::span<const DType> dtypes) const;
  // The same for any vector of at most `bytes_max` bytes.
  [[nodiscard]] Result<StoredTensor> require_vector(std::string_view part, std::span<const DType> dtypes, std::uint64_t bytes_max) const;
  // Numbers of an F32 vector of this size; E_NONFINITE.
  [[nodiscard]] Result<std::vector<float>> floats(std::string_view part, std::int64_t count) const;
  // Integers of an I32 or I64 vector of this size; E_RANGE for one that needs more than 32 bits.
  [[nodiscard]] Result<std::vector<std::int32_t>> integers(std::string_view part, std::int64_t count) const;
  // The name of a part, and what it should have been.
  [[nodiscard]] tl::unexpected<Error> refuse(std::string_view code, std::string_view part, std::string_view expected,
                                             std::string_view found) const;
  // The tensors of the module, for messages.
  [[nodiscard]] std::string listed() const;

  // From now on the module has `weight`, read through `form`, instead of `main`. Adds its other parts to `used`, for the caller to leave
  // out of the files. Requires: it has `main`, and `files` are the borrowed ones.
  void replace(ModelFiles& files, std::string_view main, std::vector<std::int64_t> shape, DType dtype,
               std::shared_ptr<const TensorForm> form, std::vector<std::string>& used) const;

 private:
  [[nodiscard]] Result<StoredTensor> require_type(std::string_view part, std::span<const DType> dtypes) const;
  [[nodiscard]] std::string name_of_part(std::string_view part) const;

  const ModelFiles& files_;
  const std::string& module_;
};

}  // namespace slora
