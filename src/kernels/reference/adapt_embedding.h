#pragma once
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::reference {

// Changes rows of out [T, hidden] fp32, the embeddings of ids [T], as the records over them say: a token that a record has a row of gets
// that row; then weight * scale * B A[:, id] is added, and what comes of it is multiplied with the record's gain. Matrices of any element
// type; B has `b_interleave` ranks in a stored row (AdapterFormat).
void adapt_embedding(Tensor out, std::span<const TokenId> ids, std::span<const AppliedRecord> records, std::int32_t b_interleave);

}  // namespace slora::reference
