#include "adapters/blend_table.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <utility>

namespace slora {
namespace {

bool is_same(const BlendComponent& a, const BlendComponent& b) {
  return a.version == b.version && std::bit_cast<std::uint32_t>(a.weight) == std::bit_cast<std::uint32_t>(b.weight);
}

}  // namespace

std::shared_ptr<const AdapterVersion> BlendTable::find_or_make(std::vector<BlendComponent> components,
                                                               const std::function<AdapterId()>& next_id) {
  // One order for all, by name: the order of additions decides the last bits of an answer.
  std::ranges::sort(components, {}, [](const BlendComponent& component) -> const std::string& { return component.version->name(); });
  const auto at =
      std::ranges::find_if(blends_, [&](const auto& blend) { return std::ranges::equal(blend->components(), components, is_same); });
  if (at != blends_.end()) {
    blends_.splice(blends_.begin(), blends_, at);
    return blends_.front();
  }
  forget_unused();
  blends_.push_front(std::make_shared<const AdapterVersion>(next_id(), std::move(components)));
  return blends_.front();
}

// What is forgotten here leaves no trace: without an image and a sequence there is nothing to retire but cached prefixes, which nobody can
// name any more and which are evicted in their turn.
void BlendTable::forget_unused() {
  if (blends_.size() < blends_max_) return;
  const auto is_unused = [](const auto& blend) { return !blend->is_resident() && blend.use_count() == 1; };
  const auto oldest = std::find_if(blends_.rbegin(), blends_.rend(), is_unused);
  if (oldest != blends_.rend()) blends_.erase(std::next(oldest).base());
}

void BlendTable::forget(const AdapterVersion& component, std::vector<std::shared_ptr<const AdapterVersion>>& retired) {
  const auto uses = [&](const auto& blend) {
    return std::ranges::any_of(blend->components(), [&](const BlendComponent& part) { return part.version.get() == &component; });
  };
  for (const auto& blend : blends_) {
    if (uses(blend)) retired.push_back(blend);
  }
  std::erase_if(blends_, uses);
}

}  // namespace slora
