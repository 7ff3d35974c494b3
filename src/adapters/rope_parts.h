#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "ops/rope_table.h"

namespace slora {

// A part of the RoPE tables of all shards, and the factor of linear RoPE that it is for.
struct RopePart {
  double factor = 1;         // instead of the base's
  std::int32_t index = 0;    // below kRopePartsMax
  std::uint64_t number = 0;  // unique, from 1 on: a part that was given away again has another
};

// Which factors have a part of the tables. Adapters of one factor share it, and whoever needs it holds it. Any thread.
class RopeParts {
 public:
  // Null when kRopePartsMax other factors are in use.
  [[nodiscard]] std::shared_ptr<const RopePart> take(double factor);
  // "2, 8", for messages.
  [[nodiscard]] std::string shown_factors() const;

 private:
  mutable std::mutex mutex_;
  std::array<std::weak_ptr<const RopePart>, kRopePartsMax> parts_;  // guarded by mutex_
  std::uint64_t count_ = 0;                                         // guarded by mutex_; also the last number given
};

}  // namespace slora
