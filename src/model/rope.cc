#include "model/rope.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <span>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::int64_t kStagedRows = 256;  // computed and copied at once

// 1 / theta^(2i / head_dim), the power times a factor of its own where there are some; rounded where the reference implementation rounds.
std::vector<float> default_inverse(double theta, std::int32_t head_dim, std::span<const double> factors) {
  std::vector<float> inverse(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float factor = factors.empty() ? 1.0f : static_cast<float>(factors[i]);
    inverse[i] = 1.0f / (factor * static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  return inverse;
}

void slow_long_waves(std::vector<float>& inverse, const RopeConfig& config) {
  const double length = static_cast<double>(config.original_max_position);
  const double long_wave = length / config.low_freq_factor;
  const double short_wave = length / config.high_freq_factor;
  for (float& frequency : inverse) {
    const double wave = 2 * std::numbers::pi / static_cast<double>(frequency);
    if (wave < short_wave) continue;
    if (wave > long_wave) {
      frequency = static_cast<float>(frequency / config.factor);
    } else {
      const double smooth = (length / wave - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
      frequency = static_cast<float>((1 - smooth) * frequency / config.factor + smooth * frequency);
    }
  }
}

// Dimension of a head of `head_dim` that makes `rotations` rotations over the original length.
double correction_dimension(double rotations, const RopeConfig& config, std::int32_t head_dim) {
  const double length = static_cast<double>(config.original_max_position);
  return head_dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(config.theta));
}

void blend_by_wavelength(std::vector<float>& inverse, const RopeConfig& config, std::int32_t head_dim) {
  double low = correction_dimension(config.beta_fast, config, head_dim);
  double high = correction_dimension(config.beta_slow, config, head_dim);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);  // 1: interpolate fully
    inverse[i] = static_cast<float>(inverse[i] / config.factor * ramp + inverse[i] * (1 - ramp));
  }
}

double yarn_attention_factor(const RopeConfig& config) {
  if (config.attention_factor) return *config.attention_factor;
  const auto scale = [&](double mscale) { return config.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(config.factor) + 1.0; };
  const double mscale = config.mscale.value_or(0), all_dim = config.mscale_all_dim.value_or(0);
  return mscale != 0 && all_dim != 0 ? scale(mscale) / scale(all_dim) : scale(1);
}

double longrope_attention_factor(const RopeConfig& config) {
  if (config.attention_factor) return *config.attention_factor;
  if (config.factor <= 1) return 1.0;
  return std::sqrt(1 + std::log(config.factor) / std::log(static_cast<double>(config.original_max_position)));
}

}  // namespace

RopeFrequencies make_rope_frequencies(const RopeConfig& config, std::int32_t head_dim) {
  const std::int32_t rotary_dim = config.rotary_dim(head_dim);
  RopeFrequencies out{default_inverse(config.theta, rotary_dim, config.short_factors), 1.0f};
  switch (config.kind) {
    case RopeKind::default_:
    case RopeKind::dynamic:
      break;
    case RopeKind::linear:
      for (float& frequency : out.inverse) frequency = static_cast<float>(frequency / config.factor);
      break;
    case RopeKind::llama3:
      slow_long_waves(out.inverse, config);
      break;
    case RopeKind::yarn:
      blend_by_wavelength(out.inverse, config, rotary_dim);
      out.attention_factor = static_cast<float>(yarn_attention_factor(config));
      break;
    case RopeKind::longrope:
      out.attention_factor = static_cast<float>(longrope_attention_factor(config));
      break;
  }
  return out;
}

RopeTables::RopeTables(const RopeFrequencies& frequencies, const Size& size, Backend& backend) : backend_(backend), size_(size) {
  const std::size_t half = frequencies.inverse.size();
  const std::int64_t rows = size.rows();
  memory_ = backend.allocate(static_cast<std::size_t>(2 * rows) * half * sizeof(float));
  staging_ = backend.host_memory(static_cast<std::size_t>(2 * kStagedRows) * half * sizeof(float));
  const Tensor all = memory_.view(DType::f32, 2 * rows, static_cast<std::int64_t>(half));
  view_ = {all.rows_from(0, rows), all.rows_from(rows, rows)};
  fill(0, size.position_count, frequencies, [&](const Tensor& to, const float* from) { backend.upload(to, from); });
}

void RopeTables::fill_part(std::int32_t part, std::int64_t position_count, const RopeFrequencies& frequencies) {
  check(part >= 0 && part < kRopePartsMax && position_count <= size_.extended_position_count, "expected a part of the table");
  fill(begin_of(part), position_count, frequencies, [this](const Tensor& to, const float* from) {
    constexpr std::chrono::milliseconds kWait{50};  // after which it is asked again
    const CopyIn copy{to.row_bytes(0), reinterpret_cast<const std::byte*>(from),
                      static_cast<std::size_t>(to.rows * to.cols) * sizeof(float)};
    const Fence copied = backend_.copy_in({&copy, 1});
    while (!backend_.wait(copied, kWait)) continue;
  });
}

void RopeTables::fill(std::int64_t row_begin, std::int64_t row_count, const RopeFrequencies& frequencies, const Copy& copy) {
  const std::size_t half = frequencies.inverse.size();
  float* const cos = reinterpret_cast<float*>(staging_.data());
  float* const sin = cos + static_cast<std::size_t>(kStagedRows) * half;
  for (std::int64_t begin = 0; begin < row_count; begin += kStagedRows) {
    const std::int64_t rows = std::min(kStagedRows, row_count - begin);
    std::size_t at = 0;
    for (std::int64_t position = begin; position < begin + rows; ++position) {
      for (const float inverse : frequencies.inverse) {
        const float angle = static_cast<float>(position) * inverse;
        cos[at] = std::cos(angle) * frequencies.attention_factor;
        sin[at++] = std::sin(angle) * frequencies.attention_factor;
      }
    }
    copy(view_.cos.rows_from(row_begin + begin, rows), cos);
    copy(view_.sin.rows_from(row_begin + begin, rows), sin);
  }
}

}  // namespace slora
