#pragma once
#include <optional>
#include <span>
#include <vector>

#include "base/sampling.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Draws out[i] from logits row i [rows.size(), vocab] fp32, which is scratch afterwards: what reference::sample does, without
// sorting the vocabulary. Weights are fp32, so a draw within 1e-6 of a boundary may fall on its other side. Holds scratch; owned by
// a backend, called by its engine thread.
class Sample {
 public:
  Sample(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), rooms_(static_cast<std::size_t>(pool.thread_count())) {}

  void run(std::span<SampledToken> out, Tensor logits, std::span<const SampleRow> rows);

 private:
  struct Room {
    std::vector<float> weights;  // [vocab]
    std::vector<float> raw;      // [vocab], for log-probabilities
    std::vector<TokenId> candidates;
  };

  // The lowest token that is kept: everything before it in the order (logit descending, token ascending) is kept too.
  struct Cut {
    float logit;
    TokenId token;
  };

  void sample_row(SampledToken& out, std::span<float> logits, const SampleRow& row, Room& room) const;
  [[nodiscard]] TokenId draw(std::span<const float> logits, const SampleRow& row, Room& room) const;
  // The draw, when all that may be kept is among few tokens with a weight worth looking at.
  [[nodiscard]] std::optional<TokenId> draw_near(std::span<const float> logits, const SampleRow& row, double total, Room& room) const;
  [[nodiscard]] static Cut find_cut(std::span<const float> logits, const SampleRow& row, float highest, Room& room);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<Room> rooms_;  // one per thread
};

}  // namespace slora::cpu
