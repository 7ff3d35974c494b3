#pragma once
#include <span>

#include "base/ids.h"
#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// out[t, :] = table[ids[t], :], gathered from the packed panels. out [T, hidden] fp32, table [vocab, hidden].
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const PackedWeight& table);
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int8Weight& table);

}  // namespace slora::cpu
