#pragma once
#include <span>

#include "base/ids.h"
#include "kernels/cpu/mixed_weight.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// out[t, :] = table[ids[t] - first_token, :], gathered from the packed panels, or zeros where the table has no such row. out [T, hidden]
// fp32, table [tokens, hidden].
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const PackedWeight& table, TokenId first_token);
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int8Weight& table, TokenId first_token);
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int4Weight& table, TokenId first_token);
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int4Int8Weight& table, TokenId first_token);
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int8Bf16Weight& table, TokenId first_token);

}  // namespace slora::cpu
