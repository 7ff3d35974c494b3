#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Causal attention of q [T, heads * head_dim] fp32 (rounded to bf16) over keys and values as store_kv wrote them; out
// [T, heads * head_dim] bf16. Query head h reads kv head h / (heads / kv_heads). Holds scratch; owned by a backend, called by its engine
// thread.
class Attend {
 public:
  Attend(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void run(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params);

 private:
  // Calls whose partial results belong to one call: calls_[begin, end).
  struct Merge {
    std::size_t begin, end;
    std::size_t part_bytes;
  };

  void plan(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params);
  void split_long_calls(const KvLayer& layer);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<AttendCall> whole_;
  std::vector<AttendCall> calls_;  // the same, with long ones split into parts
  std::vector<Merge> merges_;
  Scratch scratch_;
  Scratch parts_;
};

}  // namespace slora::cpu
