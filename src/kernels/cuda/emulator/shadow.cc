#include "kernels/cuda/emulator/shadow.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace slora::emulator {
namespace {

constexpr std::int32_t kBanks = 32;

auto warp_access(const SharedAccess& access) { return std::tuple(access.warp, access.instruction, access.number); }

// The accesses that the memory serves at a time: 32 lanes with up to 4 bytes, 16 with 8, 8 with 16.
std::int32_t phase_of(const SharedAccess& access) { return access.bytes <= 4 ? 0 : access.lane / (128 / access.bytes); }

std::uint64_t conflicts_of_phase(std::span<const SharedAccess> accesses) {
  std::array<std::vector<std::int32_t>, kBanks> words;  // different ones, by bank
  for (const SharedAccess& access : accesses) {
    for (std::int32_t word = access.offset / 4; word * 4 < access.offset + access.bytes; ++word) {
      std::vector<std::int32_t>& bank = words[static_cast<std::size_t>(word % kBanks)];
      if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
    }
  }
  std::size_t most = 1;
  for (const std::vector<std::int32_t>& bank : words) most = std::max(most, bank.size());
  return most - 1;
}

}  // namespace

void add_known(KnownBlocks& to, const KnownBlocks& more) {
  if (more == nullptr || more == to) return;
  if (to == nullptr) {
    to = more;
    return;
  }
  BlockClocks joined = *to;
  for (const auto& [block, clocks] : *more) {
    std::vector<std::uint32_t>& mine = joined[block];
    mine.resize(clocks.size());
    std::ranges::transform(mine, clocks, mine.begin(), [](std::uint32_t a, std::uint32_t b) { return std::max(a, b); });
  }
  to = std::make_shared<const BlockClocks>(std::move(joined));
}

void WatchedBlock::join(std::span<const std::int32_t> threads_that_met) {
  std::vector<std::uint32_t> joined(static_cast<std::size_t>(threads), 0);
  const auto row = [this](std::int32_t thread) { return clocks.begin() + static_cast<std::ptrdiff_t>(thread) * threads; };
  KnownBlocks known;
  for (const std::int32_t thread : threads_that_met) {
    add_known(known, orders[static_cast<std::size_t>(thread)].known);
    std::transform(joined.begin(), joined.end(), row(thread), joined.begin(),
                   [](std::uint32_t a, std::uint32_t b) { return std::max(a, b); });
  }
  for (const std::int32_t thread : threads_that_met) {
    orders[static_cast<std::size_t>(thread)].known = known;
    std::copy(joined.begin(), joined.end(), row(thread));
    ++clock(thread, thread);
  }
}

std::uint64_t count_bank_conflicts(std::span<SharedAccess> accesses) {
  std::sort(accesses.begin(), accesses.end(), [](const SharedAccess& a, const SharedAccess& b) {
    return std::tuple(warp_access(a), phase_of(a), a.lane) < std::tuple(warp_access(b), phase_of(b), b.lane);
  });
  std::uint64_t conflicts = 0;
  for (std::size_t begin = 0; begin < accesses.size();) {
    std::size_t end = begin + 1;
    while (end < accesses.size() && warp_access(accesses[end]) == warp_access(accesses[begin]) &&
           phase_of(accesses[end]) == phase_of(accesses[begin]))
      ++end;
    conflicts += conflicts_of_phase(accesses.subspan(begin, end - begin));
    begin = end;
  }
  return conflicts;
}

}  // namespace slora::emulator
