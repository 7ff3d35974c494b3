#pragma once
#include <span>

#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, i] = added_rows[i, :] x[t, :] of the record over row t, and -infinity where there is none. out [T, count], x [T, in] fp32.
void added_logits(Tensor out, Tensor x, std::span<const AppliedRecord> records);

}  // namespace slora::reference
