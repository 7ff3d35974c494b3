#include "adapters/adapter_version.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace slora {
namespace {

// "0.5 x sql + 0.25 x tone"
std::string formula_of(std::span<const BlendComponent> components) {
  std::string formula;
  for (const BlendComponent& component : components)
    formula += fmt::format("{}{} x {}", formula.empty() ? "" : " + ", component.weight, component.version->name());
  return formula;
}

AdapterTraits traits_of(std::span<const BlendComponent> components) {
  AdapterTraits traits;
  for (const BlendComponent& component : components) {
    const AdapterTraits& own = component.version->traits();
    traits.rope = own.rope;
    traits.context_tokens_max = traits.rope == nullptr || traits.context_tokens_max == 0
                                    ? own.context_tokens_max
                                    : std::min(traits.context_tokens_max, own.context_tokens_max);
  }
  return traits;
}

std::uint32_t pages_of(std::span<const BlendComponent> components) {
  std::uint32_t page_count = 0;
  for (const BlendComponent& component : components) page_count += component.version->page_count();
  return page_count;
}

}  // namespace

AdapterVersion::AdapterVersion(AdapterId id, std::vector<BlendComponent> components)
    : id_(id),
      origin_({.name = formula_of(components), .folder = {}, .generation = 0, .stamp = {}, .traits = traits_of(components)}),
      components_(std::move(components)),
      page_count_(pages_of(components_)) {
  const auto is_adapter = [](const BlendComponent& component) { return component.version->components().empty(); };
  check(!components_.empty() && std::ranges::all_of(components_, is_adapter), "expected adapters to blend, not blends");
}

}  // namespace slora
