#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "adapters/derived_tensor.h"

namespace slora {

// Which random numbers the A and B of VeRA adapters are.
struct ProjectionKey {
  std::int64_t rank = 0, in = 0, out = 0;
  std::uint32_t seed = 0;
  auto operator<=>(const ProjectionKey&) const = default;

  [[nodiscard]] std::size_t a_count() const { return static_cast<std::size_t>(rank * in); }
  [[nodiscard]] std::size_t b_count() const { return static_cast<std::size_t>(out * rank); }
};

// A [rank, in] and B [out, rank] of VeRA adapters whose files do not have them, bit for bit as PEFT draws them with torch on a CPU that has
// fused multiply-add (torch on others rounds twice): tensor.uniform_() of A, then of B, from one Mersenne Twister, within the bounds of
// Kaiming's initialisation. Drawn at the first use. Any thread.
class VeraProjection {
 public:
  explicit VeraProjection(const ProjectionKey& key) : key_(key) {}

  [[nodiscard]] const ProjectionKey& key() const { return key_; }
  [[nodiscard]] std::span<const float> a() const { return drawn().first(key_.a_count()); }
  [[nodiscard]] std::span<const float> b() const { return drawn().subspan(key_.a_count()); }
  [[nodiscard]] std::size_t bytes() const { return (key_.a_count() + key_.b_count()) * sizeof(float); }

 private:
  [[nodiscard]] std::span<const float> drawn() const;

  const ProjectionKey key_;
  mutable std::once_flag once_;
  mutable std::vector<float> numbers_;  // A, then B; const once drawn
};

// The projections that adapters of one base share, so that loading a thousand adapters draws each once: those in use, and the latest ones
// as long as they take little memory. Any thread.
class VeraProjections {
 public:
  // Requires: sizes of a rank that is served and of modules of the base.
  [[nodiscard]] std::shared_ptr<const VeraProjection> find_or_make(const ProjectionKey& key);

 private:
  static constexpr std::size_t kKeptBytesMax = std::size_t{128} << 20;

  void keep(const std::shared_ptr<const VeraProjection>& projection);

  std::mutex mutex_;
  std::map<ProjectionKey, std::weak_ptr<const VeraProjection>> known_;  // guarded by mutex_
  std::deque<std::shared_ptr<const VeraProjection>> kept_;              // guarded by mutex_; the latest first
  std::size_t kept_bytes_ = 0;                                          // guarded by mutex_
};

// A or B of a projection.
class VeraMatrix final : public DerivedTensor {
 public:
  enum class Which : std::uint8_t { a, b };
  VeraMatrix(std::shared_ptr<const VeraProjection> projection, Which which);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const std::shared_ptr<const VeraProjection> projection_;
  const Which which_;
};

}  // namespace slora
