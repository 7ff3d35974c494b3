#include "scheduler/testing/expected_credits.h"

#include <algorithm>
#include <limits>

namespace slora {

void ExpectedCredits::note_waiting(const std::set<ClientId>& waiting) {
  constexpr double kNobody = std::numeric_limits<double>::infinity();
  double lowest = kNobody, lowest_left = kNobody;
  for (const auto& [id, client] : clients_) {
    if (!client.waits) continue;
    if (waiting.contains(id)) {
      lowest = std::min(lowest, client.position);
    } else if (client.position < lowest_left) {
      lowest_left = client.position;
      last_left_ = id;
    }
  }
  if (lowest == kNobody) lowest = clients_[last_left_].position;
  level_ = std::max(level_, lowest);
  for (auto& [id, client] : clients_) client.waits = client.waits && waiting.contains(id);
  for (const ClientId id : waiting) {
    Client& client = clients_[id];
    if (client.waits) continue;
    client.position = std::max(client.position, client.has_waited ? level_ - credit_max_ : level_);
    client.has_waited = client.waits = true;
  }
}

double ExpectedCredits::credit_of(ClientId client) const { return std::max(level_ - clients_.at(client).position, 0.0); }

}  // namespace slora
