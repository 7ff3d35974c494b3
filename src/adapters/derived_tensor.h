#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/gate.h"
#include "base/result.h"
#include "formats/safetensors.h"

namespace slora {

// A tensor that an adapter needs and its file does not hold as it is: a formula over tensors of the file, of the base, or over random
// numbers. Importers make them, so that all families arrive at the same parts. Constant; used by several threads at once.
class DerivedTensor {
 public:
  // `name`: for messages. `shape`: [rows, cols], or [count], which is one row. `sources`: names of the file's tensors that it is made of.
  DerivedTensor(std::string name, std::vector<std::int64_t> shape, std::vector<std::string> sources = {})
      : name_(std::move(name)), shape_(std::move(shape)), sources_(std::move(sources)) {}
  virtual ~DerivedTensor() = default;
  DerivedTensor(const DerivedTensor&) = delete;
  DerivedTensor& operator=(const DerivedTensor&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return shape_; }
  [[nodiscard]] const std::vector<std::string>& sources() const { return sources_; }
  // Computes rows [row_begin, row_begin + row_count) from the adapter's file: out [row_count, cols]. Errors name the tensor that is at
  // fault.
  [[nodiscard]] virtual Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                                       Gate& gate) const = 0;

 private:
  const std::string name_;
  const std::vector<std::int64_t> shape_;
  const std::vector<std::string> sources_;
};

// Rows [row_begin, row_begin + row_count) of a tensor as fp32, where rows have the length of its last dimension: a vector is one row.
// E_NONFINITE, E_READ.
[[nodiscard]] Result<std::vector<float>> read_rows(const SafetensorsFile& file, const TensorInfo& tensor, std::int64_t row_begin,
                                                   std::int64_t row_count);
// The whole tensor.
[[nodiscard]] Result<std::vector<float>> read_all(const SafetensorsFile& file, const TensorInfo& tensor);
// Elements [begin, begin + count) of a tensor of indices: integers, or F32 that must be whole numbers. E_INDEX, E_READ.
[[nodiscard]] Result<std::vector<std::int64_t>> read_indices(const SafetensorsFile& file, const TensorInfo& tensor, std::int64_t begin,
                                                             std::int64_t count);

}  // namespace slora
