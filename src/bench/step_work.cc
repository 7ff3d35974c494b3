#include "bench/step_work.h"

#include <algorithm>
#include <cmath>

namespace slora::bench {
namespace {

constexpr double kAdapterBytes = 2;  // per number, as stored in the pool

Work product(const LinearWeight& weight, std::int64_t rows) {
  return {static_cast<double>(weight.packed.bytes()), 2.0 * static_cast<double>(rows * weight.out * weight.in), 0};
}

// Of a product that each of `rows` rows is multiplied by with this probability.
Work product_of_some(const LinearWeight& weight, std::int64_t rows, double probability) {
  const Work whole = product(weight, rows);
  return {whole.bytes * (1 - std::pow(1 - probability, static_cast<double>(rows))), whole.weight_operations * probability, 0};
}

// Total keys that queries at positions [begin, begin + count) attend to; window 0: all positions before.
double pair_count(const SpanShape& span, std::int64_t window) {
  double pairs = 0;
  if (window == 0) return static_cast<double>(span.count) * static_cast<double>(2 * span.begin + span.count + 1) / 2;
  for (std::int64_t i = 0; i < span.count; ++i) pairs += static_cast<double>(std::min(span.begin + i + 1, window));
  return pairs;
}

// Attention in all layers.
Work attention(const Model& model, std::span<const SpanShape> spans) {
  const ModelConfig& config = model.config();
  const double token_bytes = 2.0 * config.kv_width() * static_cast<double>(bytes_of(model.kv_geometry().dtype));
  Work work;
  for (const std::int64_t window : config.window) {
    for (const SpanShape& span : spans) {
      const std::int64_t seen = window == 0 ? span.begin + span.count : std::min(span.begin + span.count, window + span.count - 1);
      work.bytes += token_bytes * static_cast<double>(seen);
      work.other_operations += 4.0 * config.q_width() * pair_count(span, window);
    }
  }
  return work;
}

}  // namespace

Work& Work::operator+=(const Work& other) {
  bytes += other.bytes;
  weight_operations += other.weight_operations;
  other_operations += other.other_operations;
  return *this;
}

double floor_seconds(const Work& work, Arithmetic weights, const MachineLimits& limits) {
  return std::max(work.bytes / limits.bandwidth,
                  work.weight_operations / limits.peak(weights) + work.other_operations / limits.peak(Arithmetic::bf16));
}

std::vector<Work> work_of(const Model& model, const StepShape& step) {
  std::int64_t rows = 0;
  for (const SpanShape& span : step.spans) rows += span.count;
  Work qkv, o, gate_up, down, adapters;
  const MixtureConfig& mixture = model.config().mixture;
  for (const LayerWeights& layer : model.weights().layers) {
    qkv += product(layer.qkv, rows);
    o += product(layer.o, rows);
    gate_up += product(layer.router, rows);
    for (std::size_t i = 0; i < layer.mlps.size(); ++i) {  // as if the router chose evenly
      const double probability = i == 0 ? 1.0 : static_cast<double>(mixture.experts_per_token) / mixture.expert_count;
      gate_up += product_of_some(layer.mlps[i].gate_up, rows, probability);
      down += product_of_some(layer.mlps[i].down, rows, probability);
    }
  }
  for (const AdapterShare& adapter : step.adapters) {
    const auto parameters = static_cast<double>(adapter.parameters);
    adapters += {kAdapterBytes * parameters, 0, 2 * parameters * static_cast<double>(adapter.rows)};
  }
  return {qkv, o, gate_up, down, product(model.weights().head, step.output_rows), attention(model, step.spans), adapters};
}

Work sum(std::span<const Work> works) {
  Work total;
  for (const Work& work : works) total += work;
  return total;
}

}  // namespace slora::bench
