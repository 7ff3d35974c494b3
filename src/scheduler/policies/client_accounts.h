#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace slora {

// What FairSharePolicy knows of one client.
struct ClientAccount {
  ClientId client;
  double weight = 1;
  double served = 0;           // cost of its service, divided by its weight, and what it was lifted by
  bool is_new = true;          // it has not been in the queue yet
  bool is_backlogged = false;  // it had sequences in the queue at the latest step
  std::uint64_t step = 0;      // the latest in which it had sequences; what follows is of that step

  std::int32_t waiting = 0;        // sequences
  std::int32_t ready = 0;          // running sequences whose adapter is resident
  std::int32_t places = 0;         // of the step, which it has or for which it waits
  std::int64_t prompt_demand = 0;  // tokens of its prompts that could be computed in the step
  std::int64_t prompt_budget = 0;  // of these, what it may have
  std::int64_t committed = 0;      // prompt tokens of admitted sequences that are not computed
  std::int64_t queued = 0;         // prompt tokens of waiting sequences that come before the one in question
};

// The accounts by client: a table that allocates only while it grows, so that steps do not. Owned by the policy, on the scheduler's thread.
class ClientAccounts {
 public:
  // Adds the client if it is unknown. Valid until the next call.
  [[nodiscard]] std::size_t index_of(ClientId client);
  [[nodiscard]] const ClientAccount* find(ClientId client) const;

  [[nodiscard]] ClientAccount& operator[](std::size_t index) { return accounts_[index]; }
  [[nodiscard]] std::size_t size() const { return accounts_.size(); }

  // Removes the accounts for which `is_over(account)` holds; indices change.
  template <class IsOver>
  void remove_if(IsOver is_over) {
    std::erase_if(accounts_, is_over);
    fill_slots();
  }

 private:
  // The slot that holds the client's index, or the empty one where it belongs.
  [[nodiscard]] std::size_t slot_of(ClientId client) const;
  void fill_slots();

  static constexpr std::uint32_t kEmpty = ~std::uint32_t{0};

  std::vector<ClientAccount> accounts_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(64, kEmpty);  // [power of two, at least twice the accounts] indices
};

}  // namespace slora
