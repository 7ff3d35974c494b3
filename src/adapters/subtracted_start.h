#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "adapters/derived_tensor.h"
#include "adapters/subspace.h"
#include "formats/adapter_config.h"
#include "formats/model_files.h"

namespace slora {

// What PiSSA and OLoRA subtract from a weight W [out, in] of the base before they train (PEFT's tuners/lora/layer.py, pissa_init and
// olora_init): scale * B0 A0, a part of W of rank r. On the unchanged base such an adapter is LoRA of rank 2 r,
//   W - scale B0 A0 + scale B A = W + scale [B, -B0] [A; A0]
// PEFT subtracts in fp32 and rounds to the base's type. Computed when it is first needed, which takes long, and kept. Used by several
// threads at once.
class SubtractedStart {
 public:
  // `a`, `b`: the adapter's, of which the start has the shapes. `weight`: the name of W among the base's tensors.
  SubtractedStart(SubtractedInit init, TensorInfo a, TensorInfo b, float scale, std::shared_ptr<const ModelFiles> base, std::string weight);

  [[nodiscard]] const TensorInfo& a() const { return a_; }  // [rank, in]
  [[nodiscard]] const TensorInfo& b() const { return b_; }  // [out, rank]
  // A0 [rank, in] and B0 [out, rank]. E_BASE_MUTATED where singular vectors are not found, E_SHAPE, E_READ.
  [[nodiscard]] Result<const FactoredMatrix*> factors(const SafetensorsFile& file, Gate& gate) const;

 private:
  [[nodiscard]] Result<std::vector<float>> read_weight(const SafetensorsFile& file, Gate& gate) const;

  const SubtractedInit init_;
  const TensorInfo a_, b_;
  const float scale_;
  const std::shared_ptr<const ModelFiles> base_;
  const std::string weight_;
  mutable std::mutex mutex_;
  mutable std::optional<FactoredMatrix> factors_;  // guarded by mutex_; constant once it is set
};

// [A; A0], of 2 r rows.
class RowsAndStart final : public DerivedTensor {
 public:
  explicit RowsAndStart(std::shared_ptr<const SubtractedStart> start);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const SubtractedStart> start_;
};

// [B, -B0], of 2 r columns.
class ColumnsAndStart final : public DerivedTensor {
 public:
  explicit ColumnsAndStart(std::shared_ptr<const SubtractedStart> start);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const SubtractedStart> start_;
};

}  // namespace slora
