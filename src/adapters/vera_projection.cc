#include "adapters/vera_projection.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace slora {
namespace {

// torch's uniform_(-bound, bound) of fp32: 24 bits of each draw, multiplied and added with one rounding.
void draw_uniform(std::span<float> out, std::mt19937& random, double bound) {
  const auto low = static_cast<float>(-bound), high = static_cast<float>(bound);
  const double width = high - low;
  for (float& value : out) {
    const auto bits = static_cast<std::uint32_t>(random()) & 0xffffff;
    value = static_cast<float>(bits * 0x1p-24 * width + low);
  }
}

// Of nn.init.kaiming_uniform_ for a matrix with so many columns.
double kaiming_bound(std::int64_t cols) { return std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(static_cast<double>(cols))); }

}  // namespace

std::span<const float> VeraProjection::drawn() const {
  std::call_once(once_, [this] {
    std::vector<float> numbers(key_.a_count() + key_.b_count());
    std::mt19937 random(key_.seed);
    draw_uniform(std::span(numbers).first(key_.a_count()), random, kaiming_bound(key_.in));
    draw_uniform(std::span(numbers).subspan(key_.a_count()), random, kaiming_bound(key_.rank));
    numbers_ = std::move(numbers);
  });
  return numbers_;
}

std::shared_ptr<const VeraProjection> VeraProjections::find_or_make(const ProjectionKey& key) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const VeraProjection> projection;
  if (const auto at = known_.find(key); at != known_.end()) projection = at->second.lock();
  if (projection == nullptr) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    projection = std::make_shared<const VeraProjection>(key);
    known_[key] = projection;
  }
  keep(projection);
  return projection;
}

void VeraProjections::keep(const std::shared_ptr<const VeraProjection>& projection) {
  if (const auto at = std::ranges::find(kept_, projection); at != kept_.end()) {
    std::rotate(kept_.begin(), at, at + 1);
    return;
  }
  if (projection->bytes() > kKeptBytesMax) return;
  kept_.push_front(projection);
  kept_bytes_ += projection->bytes();
  while (kept_bytes_ > kKeptBytesMax) {
    kept_bytes_ -= kept_.back()->bytes();
    kept_.pop_back();
  }
}

VeraMatrix::VeraMatrix(std::shared_ptr<const VeraProjection> projection, Which which)
    : DerivedTensor(which == Which::a ? "base_model.vera_A" : "base_model.vera_B",
                    which == Which::a ? std::vector<std::int64_t>{projection->key().rank, projection->key().in}
                                      : std::vector<std::int64_t>{projection->key().out, projection->key().rank}),
      projection_(std::move(projection)),
      which_(which) {}

Status VeraMatrix::compute(float* out, const SafetensorsFile& /*file*/, std::int64_t row_begin, std::int64_t row_count,
                           Gate& /*gate*/) const {
  const std::span<const float> numbers = which_ == Which::a ? projection_->a() : projection_->b();
  const std::int64_t cols = shape()[1];
  std::copy_n(numbers.begin() + row_begin * cols, row_count * cols, out);
  return {};
}

}  // namespace slora
