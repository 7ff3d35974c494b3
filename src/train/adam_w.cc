#include "train/adam_w.h"

#include <algorithm>
#include <cmath>

namespace slora {
namespace {

constexpr std::size_t kBlockCount = 1 << 16;

struct UpdateFactors {
  float gradient, decay, first, second, second_kept, step, root_of_second, epsilon;
};

void update_block(std::span<float> values, std::span<const float> gradients, std::span<float> first, std::span<float> second,
                  const UpdateFactors& by) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float gradient = gradients[i] * by.gradient;
    float value = values[i] * by.decay;
    first[i] += by.first * (gradient - first[i]);
    second[i] = second[i] * by.second_kept + by.second * gradient * gradient;
    value -= by.step * first[i] / (std::sqrt(second[i]) / by.root_of_second + by.epsilon);
    values[i] = value;
  }
}

}  // namespace

AdamW::AdamW(const OptimiserOptions& options, const AdapterMasters& shape, Backend& backend)
    : options_(options), backend_(backend), first_(shape.values.size()), second_(shape.values.size()) {
  for (const MasterModule& module : shape.modules) {
    add_blocks(module.begin, module.begin + module.a_count(), false);
    add_blocks(module.begin + module.a_count(), module.end(), true);
  }
  sums_.resize(blocks_.size());
}

void AdamW::add_blocks(std::size_t begin, std::size_t end, bool is_of_b) {
  for (; begin < end; begin += kBlockCount) blocks_.push_back({begin, std::min(kBlockCount, end - begin), is_of_b});
}

double AdamW::norm_of(std::span<const float> gradients) {
  backend_.parallel_for(std::ssize(blocks_), [&](std::int64_t index) {
    const Block& block = blocks_[static_cast<std::size_t>(index)];
    double sum = 0;
    for (const float gradient : gradients.subspan(block.begin, block.count)) sum += static_cast<double>(gradient) * gradient;
    sums_[static_cast<std::size_t>(index)] = sum;
  });
  double sum = 0;
  for (const double part : sums_) sum += part;
  return std::sqrt(sum);
}

float AdamW::clip_factor(double norm) const {
  if (options_.gradient_norm_max <= 0) return 1;
  return static_cast<float>(std::min(1.0, options_.gradient_norm_max / (norm + 1e-6)));
}

void AdamW::update(std::span<float> values, std::span<const float> gradients, float factor, double rate) {
  ++update_count_;
  const auto count = static_cast<double>(update_count_);
  const double first_share = 1 - std::pow(options_.beta1, count), second_share = 1 - std::pow(options_.beta2, count);
  const auto factors_at = [&](double own_rate) {
    return UpdateFactors{.gradient = factor,
                         .decay = static_cast<float>(1 - own_rate * options_.weight_decay),
                         .first = static_cast<float>(1 - options_.beta1),
                         .second = static_cast<float>(1 - options_.beta2),
                         .second_kept = static_cast<float>(options_.beta2),
                         .step = static_cast<float>(own_rate / first_share),
                         .root_of_second = static_cast<float>(std::sqrt(second_share)),
                         .epsilon = static_cast<float>(options_.epsilon)};
  };
  const UpdateFactors of_a = factors_at(rate), of_b = factors_at(rate * options_.b_rate_factor);
  backend_.parallel_for(std::ssize(blocks_), [&](std::int64_t index) {
    const auto& [begin, size, is_of_b] = blocks_[static_cast<std::size_t>(index)];
    update_block(values.subspan(begin, size), gradients.subspan(begin, size), std::span(first_).subspan(begin, size),
                 std::span(second_).subspan(begin, size), is_of_b ? of_b : of_a);
  });
}

}  // namespace slora
