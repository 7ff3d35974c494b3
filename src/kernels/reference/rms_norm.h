#pragma once
#include <span>

#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::reference {

// The gain of each row of a batch: the base's, or that of the record over the row.
struct RowGains {
  std::span<const float> base;
  std::span<const AppliedRecord> records;

  [[nodiscard]] std::span<const float> of(std::int64_t row) const {
    for (const AppliedRecord& applied : records) {
      const bool covers = row >= applied.row_begin && row < applied.row_begin + applied.row_count;
      if (covers) return {applied.record->gain, base.size()};
    }
    return base;
  }
};

// out = in / sqrt(mean(in^2) + eps) * gain over groups of as many columns as a gain has. in and out [T, groups * size] fp32; out may be in.
void rms_norm(Tensor out, Tensor in, const RowGains& gains, float eps);

// residual += x, then out = rms_norm(residual), or without gains the residual. All [T, hidden] fp32.
void add_rms_norm(Tensor out, Tensor residual, Tensor x, const RowGains& gains, float eps);

}  // namespace slora::reference
