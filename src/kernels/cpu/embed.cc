#include "kernels/cpu/embed.h"

#include "kernels/cpu/for_rows.h"

namespace slora::cpu {
namespace {

// One row lies 128 bytes apart: each word is a cache line of its own, asked for ahead.
void embed_row(float* out, const PackedWeight& table, TokenId token) {
  constexpr std::int64_t kAhead = 32;
  const std::uint32_t* words = table.panel(token / PackedWeight::kPanelCols) + token % PackedWeight::kPanelCols;
  const std::int64_t pairs = table.pairs();
  for (std::int64_t i = 0; i < pairs; ++i) {
    __builtin_prefetch(words + std::min(i + kAhead, pairs - 1) * PackedWeight::kPanelCols);
    const std::uint32_t word = words[i * PackedWeight::kPanelCols];
    out[2 * i] = to_float(Bfloat16{static_cast<std::uint16_t>(word)});
    if (2 * i + 1 < table.in) out[2 * i + 1] = to_float(Bfloat16{static_cast<std::uint16_t>(word >> 16)});
  }
}

}  // namespace

void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const PackedWeight& table) {
  constexpr std::int64_t kElementCost = 8;  // mostly cache misses
  for_rows(pool, out.rows, kElementCost * out.cols, [&](std::int64_t t) {
    const TokenId token = ids[static_cast<std::size_t>(t)];
    check(token >= 0 && token < table.out, "a token of the vocabulary");
    embed_row(out.row<float>(t), table, token);
  });
}

}  // namespace slora::cpu
