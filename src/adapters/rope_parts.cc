#include "adapters/rope_parts.h"

#include <fmt/format.h>

namespace slora {

std::shared_ptr<const RopePart> RopeParts::take(double factor) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<const RopePart>* unused = nullptr;
  for (std::weak_ptr<const RopePart>& part : parts_) {
    std::shared_ptr<const RopePart> taken = part.lock();
    if (taken && taken->factor == factor) return taken;
    if (!taken && unused == nullptr) unused = &part;
  }
  if (unused == nullptr) return nullptr;
  const auto index = static_cast<std::int32_t>(unused - parts_.data());
  auto part = std::make_shared<const RopePart>(RopePart{factor, index, ++count_});
  *unused = part;
  return part;
}

std::string RopeParts::shown_factors() const {
  const std::lock_guard lock(mutex_);
  std::string shown;
  for (const std::weak_ptr<const RopePart>& part : parts_) {
    if (const auto taken = part.lock()) shown += fmt::format("{}{}", shown.empty() ? "" : ", ", taken->factor);
  }
  return shown;
}

}  // namespace slora
