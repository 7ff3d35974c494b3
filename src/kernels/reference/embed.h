#pragma once
#include <span>

#include "base/ids.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, :] = table[ids[t], :]. out [T, hidden] fp32, table [vocab, hidden] fp32.
void embed(Tensor out, std::span<const TokenId> ids, Tensor table);

}  // namespace slora::reference
