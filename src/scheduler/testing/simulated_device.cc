#include "scheduler/testing/simulated_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace slora {
namespace {

std::uint64_t scramble(std::uint64_t value) {  // splitmix64's output function
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) { return scramble(a + 0x9e3779b97f4a7c15u * (b + 1)); }

}  // namespace

std::uint64_t SimulatedRandom::next() { return scramble(state_ += 0x9e3779b97f4a7c15u); }

std::uint64_t SimulatedModel::image_word(AdapterId adapter, std::uint64_t word_index) { return mix(adapter.value, word_index); }

std::uint64_t SimulatedModel::image_part(std::uint64_t word, std::uint64_t word_index) { return mix(word, word_index); }

std::uint64_t SimulatedModel::start(TenantId tenant, AdapterId adapter, std::uint64_t image_digest) {
  return mix(mix(tenant.value, adapter.value), image_digest);
}

std::uint64_t SimulatedModel::slot(std::uint64_t digest, TokenId token) { return mix(digest, static_cast<std::uint32_t>(token)); }

std::uint64_t SimulatedModel::add_slot(std::uint64_t digest, std::uint64_t slot, std::int32_t position) {
  return digest + mix(slot, static_cast<std::uint32_t>(position));
}

RowResult SimulatedModel::next(std::uint64_t digest) const {
  RowResult row{.token = static_cast<TokenId>(mix(digest, 1) % static_cast<std::uint64_t>(vocabulary))};
  if (mix(digest, 2) % stop_period == 0) row.outcome = mix(digest, 4) % 4 == 0 ? RowOutcome::complete : RowOutcome::stop;
  if (fail_period > 0 && mix(digest, 3) % fail_period == 0) row = {.token = -1, .outcome = RowOutcome::failed};
  return row;
}

SimulatedDevice::SimulatedDevice(const SimulatedModel& model, std::uint32_t page_count, std::int32_t page_tokens)
    : model_(model), page_tokens_(static_cast<std::size_t>(page_tokens)), slots_(page_count * page_tokens_) {}

void SimulatedDevice::begin_load(const AdapterLoad& load) {
  fill_with_noise(load.pages);
  Image image{load.pages, load.shared};
  for (const SharedPages& part : load.shared) {
    if (const auto [at, is_new] = shared_.try_emplace(part.id, Shared{part.pages}); is_new) fill_with_noise(part.pages);
    image.pages.insert(image.pages.end(), part.pages.begin(), part.pages.end());
  }
  loading_[load.adapter] = std::move(image);
}

void SimulatedDevice::land(AdapterId adapter) {
  Image image = std::move(loading_.at(adapter));
  loading_.erase(adapter);
  std::size_t own_count = image.pages.size();
  for (const SharedPages& part : image.shared) {
    own_count -= part.pages.size();
    const auto shared = shared_.find(part.id);
    if (shared != shared_.end() && !std::exchange(shared->second.is_written, true)) write_words(part.pages, part.id);
  }
  write_words(std::span(image.pages).first(own_count), adapter);
  resident_[adapter] = std::move(image);
}

void SimulatedDevice::write_words(std::span<const PageIndex> pages, AdapterId id) {
  std::uint64_t word_index = 0;
  for (const PageIndex page : pages)
    for (std::uint64_t& slot : slots_of(page)) slot = SimulatedModel::image_word(id, word_index++);
}

void SimulatedDevice::fail(AdapterId adapter) { loading_.erase(adapter); }

void SimulatedDevice::evict(AdapterId adapter) {
  if (shared_.erase(adapter) == 0) resident_.erase(adapter);
}

std::span<const PageIndex> SimulatedDevice::shared_pages(AdapterId id) const {
  const auto shared = shared_.find(id);
  if (shared == shared_.end()) return {};
  return shared->second.pages;
}

bool SimulatedDevice::is_awaited(AdapterId shared) const {
  const auto uses = [&](const auto& image) {
    return std::ranges::find(image.second.shared, shared, &SharedPages::id) != image.second.shared.end();
  };
  const auto at = shared_.find(shared);
  return at != shared_.end() && !at->second.is_written && std::ranges::any_of(loading_, uses);
}

std::string SimulatedDevice::check_shared() const {
  std::unordered_set<AdapterId> used;
  for (const auto* images : {&loading_, &resident_}) {
    for (const auto& [adapter, image] : *images) {
      for (const SharedPages& part : image.shared) {
        if (!std::ranges::equal(shared_pages(part.id), part.pages))
          return fmt::format("adapter {} has no shared image {} where it was", adapter.value, part.id.value);
        used.insert(part.id);
      }
    }
  }
  for (const auto& [id, shared] : shared_)
    if (!used.contains(id)) return fmt::format("shared image {} is there and nothing uses it", id.value);
  return {};
}

std::string SimulatedDevice::run(const StepPlan& plan, std::span<const TenantId> tenants, const StepResult& previous, StepResult& result,
                                 std::vector<std::uint64_t>& digests) {
  result.rows.assign(static_cast<std::size_t>(plan.output_row_count), {});
  digests.clear();
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    std::uint64_t image_digest = 0, word_index = 0;
    if (span.adapter != kNoAdapter) {
      const auto image = resident_.find(span.adapter);
      if (image == resident_.end()) return fmt::format("sequence {} runs without its adapter {}", span.sequence.value, span.adapter.value);
      for (const PageIndex page : image->second.pages)
        for (const std::uint64_t word : slots_of(page)) image_digest += SimulatedModel::image_part(word, word_index++);
    }
    const std::span<const PageIndex> pages = plan.pages_of(span);
    const auto end = static_cast<std::size_t>(span.position_begin + span.token_count);
    if (pages.size() * page_tokens_ < end) return fmt::format("sequence {} has no page for position {}", span.sequence.value, end - 1);

    std::uint64_t digest = SimulatedModel::start(tenants[i], kNoAdapter, 0);
    for (std::size_t position = 0; position < end; ++position) {
      if (std::cmp_equal(position, span.adapter_begin)) digest += SimulatedModel::begin_adapter(tenants[i], span.adapter, image_digest);
      std::uint64_t& slot = slots_of(pages[position / page_tokens_])[position % page_tokens_];
      if (std::cmp_greater_equal(position, span.position_begin)) {
        const InputToken& input = plan.tokens_of(span)[position - static_cast<std::size_t>(span.position_begin)];
        const bool known = input.previous_row < 0;
        if (!known && std::cmp_greater_equal(input.previous_row, previous.rows.size()))
          return fmt::format("sequence {} names a row that the plan before has not", span.sequence.value);
        slot = SimulatedModel::slot(digest, known ? input.value : previous.rows[static_cast<std::size_t>(input.previous_row)].token);
      }
      digest = SimulatedModel::add_slot(digest, slot, static_cast<std::int32_t>(position));
    }
    digests.push_back(digest);
    if (span.output_row < 0) continue;
    RowResult& row = result.rows[static_cast<std::size_t>(span.output_row)];
    row = model_.next(digest);
    if (row.outcome != RowOutcome::failed) continue;
    for (auto position = static_cast<std::size_t>(span.position_begin); position < end; ++position)  // as if it had overflowed here
      slots_of(pages[position / page_tokens_])[position % page_tokens_] = noise_.next();
  }
  return {};
}

std::span<const PageIndex> SimulatedDevice::image_pages(AdapterId adapter) const {
  const auto image = resident_.find(adapter);
  if (image == resident_.end()) return {};
  return image->second.pages;
}

std::span<std::uint64_t> SimulatedDevice::slots_of(PageIndex page) {
  return std::span(slots_).subspan(page.value * page_tokens_, page_tokens_);
}

void SimulatedDevice::fill_with_noise(std::span<const PageIndex> pages) {
  for (const PageIndex page : pages)
    for (std::uint64_t& slot : slots_of(page)) slot = noise_.next();
}

}  // namespace slora
