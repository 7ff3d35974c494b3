#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "adapters/adapter_record.h"
#include "adapters/derived_tensor.h"
#include "base/result.h"
#include "formats/module_table.h"
#include "formats/safetensors.h"

namespace slora {

// A sparse matrix S [out, in] as a SHiRA file has it: the values, and the row and the column of each, in any order. Images have it row
// after row. Where shards hold slices of the inputs, each of these slices is a block, and the blocks follow each other; else there is one.
struct SparseTensors {
  SparseTensors(TensorInfo indices, TensorInfo values, const ModuleEntry& module);

  const TensorInfo indices;  // [2, elements]: rows, columns; integers, or F32 that are whole
  const TensorInfo values;   // [elements]
  const std::int32_t out, in;
  std::vector<std::int32_t> block_begins;  // [blocks] the first input of each
  std::vector<ElementRange> shard_rows;    // [shards] which of all blocks' rows a shard has

  [[nodiscard]] std::int64_t count() const { return values.shape[0]; }
};

// [shards] the elements that each shard stores, in the order of an image. E_INDEX for rows and columns that the matrix does not have,
// E_READ. Requires: the shapes above.
[[nodiscard]] Result<std::vector<ElementRange>> elements_of_shards(const SafetensorsFile& file, const SparseTensors& tensors, Gate* gate);

// These are derived from both tensors when an image is written.

// [blocks, out] elements of each row. E_CHANGED when a shard has not as many as were found before.
class SparseRowCounts final : public DerivedTensor {
 public:
  SparseRowCounts(std::shared_ptr<const SparseTensors> tensors, std::vector<ElementRange> shard_elements);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const SparseTensors> tensors_;
  const std::vector<ElementRange> shard_elements_;
};

// [elements] columns, counted from where their block begins.
class SparseColumns final : public DerivedTensor {
 public:
  explicit SparseColumns(std::shared_ptr<const SparseTensors> tensors);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const SparseTensors> tensors_;
};

// [elements] values.
class SparseValues final : public DerivedTensor {
 public:
  explicit SparseValues(std::shared_ptr<const SparseTensors> tensors);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const SparseTensors> tensors_;
};

}  // namespace slora
