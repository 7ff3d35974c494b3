#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "bench/machine_limits.h"
#include "model/model.h"

namespace slora::bench {

// The least that must be read and computed. Activations do not count: they stay in caches.
struct Work {
  double bytes = 0;
  double weight_operations = 0;  // of products with the base's weights; a multiplication and an addition are two
  double other_operations = 0;   // of attention and adapters, whose numbers are bf16

  Work& operator+=(const Work& other);
  [[nodiscard]] double operations() const { return weight_operations + other_operations; }
};

// The least time on a machine with these limits: reading and computing in parallel, both at full speed.
[[nodiscard]] double floor_seconds(const Work& work, Arithmetic weights, const MachineLimits& limits);

// Consecutive tokens of one sequence in a step.
struct SpanShape {
  std::int64_t begin = 0;  // tokens before them
  std::int64_t count = 0;
};

// An adapter that `rows` rows of a step use.
struct AdapterShare {
  std::uint64_t parameters = 0;
  std::int64_t rows = 0;
};

struct StepShape {
  std::vector<SpanShape> spans;
  std::int64_t output_rows = 0;  // rows that need logits
  std::vector<AdapterShare> adapters;
};

// The work of a step by op: the products of all layers, the head, attention, adapters.
[[nodiscard]] std::vector<Work> work_of(const Model& model, const StepShape& step);
[[nodiscard]] Work sum(std::span<const Work> works);

}  // namespace slora::bench
