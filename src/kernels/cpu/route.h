#pragma once
#include <cstdint>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "ops/expert_rows.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// The rows of each expert by what the router gave, as Ops::route() says. Holds scratch; owned by a backend, called by its engine thread.
class Route {
 public:
  explicit Route(ThreadPool& pool) : pool_(pool) {}

  void run(const ExpertRows& out, Tensor scores, const RouteParams& params);

 private:
  ThreadPool& pool_;
  std::vector<std::int32_t> chosen_;  // [T, chosen_count]
  std::vector<float> shares_;         // [T, chosen_count + 1]
};

}  // namespace slora::cpu
