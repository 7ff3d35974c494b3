#pragma once
#include <span>

#include "base/ids.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, :] = table[ids[t] - first_token, :], or zeros where the table has no such row. out [T, hidden] fp32, table [tokens, hidden] fp32.
void embed(Tensor out, std::span<const TokenId> ids, Tensor table, TokenId first_token);

}  // namespace slora::reference
