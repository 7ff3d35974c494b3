#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "backend/backend.h"

namespace slora::bench {

// How the adapters of a batch are applied, for comparison: what S-LoRA's evaluation compares with, in the same engine.
enum class AdapterProduct : std::uint8_t {
  gathered,  // x W + (x A) B, each adapter from where it lies in the pool, with its own rank: the backend's own
  padded,    // the same after copying all adapters of the batch next to each other, each filled up with zeros to the largest rank
  merged,    // x (W + B A): adapters cost nothing between two switches, and a batch should have only one
};

// What merging took. Written by the engine's thread; any thread may read it.
struct MergeCounts {
  std::atomic<std::uint64_t> switches{0};      // from one adapter, or none, to another
  std::atomic<std::int64_t> nanoseconds{0};    // that rewriting weights took, in all
  std::atomic<std::uint64_t> weight_bytes{0};  // of the copies that are rewritten
};

// For RuntimeOptions::wrap_backend; empty for `gathered`, which wraps nothing. The model is in one piece. `counts` outlives the backend.
[[nodiscard]] std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)> backend_wrapper(AdapterProduct product,
                                                                                                MergeCounts& counts);

// S-LoRA's ablation "S-LoRA-bmm", without what its code adds to it. At each product the factors of all adapters of the batch
// are copied from the pool into one buffer, on all threads, as matrices of the largest rank among them, zeros below each one's own; then
// the backend computes with these. Answers differ from the backend's own by nothing but the order of sums. Rows without an adapter stay
// those of the base model, which a batched product cannot do.
[[nodiscard]] std::unique_ptr<Backend> make_padded_backend(std::unique_ptr<Backend> inner);

// S-LoRA's "merge" (Figure 9). For each site there is a second weight, rewritten when an adapter comes to it: of each module that the
// adapter changes W + scale * B A, computed in fp32 from W itself and rounded once to the weight's format, and W again where only the
// adapter before it did. W is never changed, so nothing drifts, and rows without an adapter cost no switch. A batch of several adapters is
// computed too, at a switch for each at each product. The head is never merged: a tied one is the embedding.
[[nodiscard]] std::unique_ptr<Backend> make_merged_backend(std::unique_ptr<Backend> inner, MergeCounts& counts);

}  // namespace slora::bench
