#include "scheduler/policies/client_accounts.h"

#include <algorithm>

namespace slora {

std::size_t ClientAccounts::index_of(ClientId client) {
  const std::size_t slot = slot_of(client);
  if (slots_[slot] != kEmpty) return slots_[slot];
  const std::size_t index = accounts_.size();
  accounts_.push_back({.client = client});
  if (2 * accounts_.size() <= slots_.size()) {
    slots_[slot] = static_cast<std::uint32_t>(index);
  } else {
    slots_.resize(2 * slots_.size());
    fill_slots();
  }
  return index;
}

const ClientAccount* ClientAccounts::find(ClientId client) const {
  const std::uint32_t index = slots_[slot_of(client)];
  return index == kEmpty ? nullptr : &accounts_[index];
}

std::size_t ClientAccounts::slot_of(ClientId client) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = static_cast<std::size_t>((client.value * 0x9e3779b97f4a7c15u) >> 32) & mask;
  while (slots_[slot] != kEmpty && accounts_[slots_[slot]].client != client) slot = (slot + 1) & mask;
  return slot;
}

void ClientAccounts::fill_slots() {
  std::ranges::fill(slots_, kEmpty);
  for (std::size_t i = 0; i < accounts_.size(); ++i) slots_[slot_of(accounts_[i].client)] = static_cast<std::uint32_t>(i);
}

}  // namespace slora
