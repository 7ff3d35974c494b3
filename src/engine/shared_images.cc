#include "engine/shared_images.h"

#include <algorithm>
#include <utility>

namespace slora {

void SharedImages::add(PlannedLoad load) { waiting_.push_back(std::move(load)); }

std::optional<PlannedLoad> SharedImages::take_next() {
  const auto next = std::ranges::find_if(waiting_, [this](const PlannedLoad& load) { return may_begin(load); });
  if (next == waiting_.end()) return std::nullopt;
  PlannedLoad load = std::move(*next);
  waiting_.erase(next);
  for (LoadPages::Shared& shared : load.pages.shared) {
    State& state = states_[shared.id];
    shared.part = state.is_written ? SharedPart::leave : SharedPart::write;
    if (!state.is_written) state = {load.version->id(), load.version->lane(), false};
  }
  return load;
}

bool SharedImages::may_begin(const PlannedLoad& load) const {
  return std::ranges::all_of(load.pages.shared, [this](const LoadPages::Shared& shared) {
    const auto state = states_.find(shared.id);
    return state == states_.end() || state->second.writer == kNoAdapter;
  });
}

void SharedImages::note_landed(AdapterId adapter) {
  for (auto& [id, state] : states_)
    if (state.writer == adapter) state = {kNoAdapter, 0, true};
}

// Those that read from elsewhere are tried first: where one load of a device hangs, others of it do.
void SharedImages::note_failed(AdapterId adapter) {
  for (auto& [id, state] : states_) {
    if (state.writer != adapter) continue;
    const std::uint64_t lane = state.lane;
    state = {};
    std::ranges::stable_partition(waiting_, [lane](const PlannedLoad& load) { return load.version->lane() != lane; });
  }
}

}  // namespace slora
