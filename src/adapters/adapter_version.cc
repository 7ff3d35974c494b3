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

std::vector<SharedImage> shared_by(std::span<const BlendComponent> components) {
  std::vector<SharedImage> all;
  for (const BlendComponent& component : components) {
    for (const SharedImage& image : component.version->shared()) {
      if (std::ranges::find(all, image) == all.end()) all.push_back(image);
    }
  }
  return all;
}

}  // namespace

AdapterVersion::AdapterVersion(AdapterId id, Origin origin, const ImageSize& size, std::shared_ptr<const SharedImage> shared)
    : id_(id),
      origin_(std::move(origin)),
      size_(size),
      account_(origin_.account ? origin_.account : std::make_shared<AdapterAccount>()),
      shared_image_(std::move(shared)),
      shared_(shared_image_ ? std::vector{*shared_image_} : std::vector<SharedImage>()),
      stamp_(origin_.stamp) {}

AdapterVersion::AdapterVersion(AdapterId id, std::vector<BlendComponent> components)
    : id_(id),
      origin_({.name = formula_of(components), .folder = {}, .generation = 0, .stamp = {}, .traits = traits_of(components), .account = {}}),
      components_(std::move(components)),
      size_({.page_count = pages_of(components_)}),
      account_(std::make_shared<AdapterAccount>(components_.front().version->account().total())),
      shared_(shared_by(components_)) {
  const auto is_adapter = [](const BlendComponent& component) { return component.version->components().empty(); };
  check(!components_.empty() && std::ranges::all_of(components_, is_adapter), "expected adapters to blend, not blends");
}

std::uint32_t AdapterVersion::pages_in_all() const {
  std::uint32_t page_count = size_.page_count;
  for (const SharedImage& image : shared_) page_count += image.page_count;
  return page_count;
}

}  // namespace slora
