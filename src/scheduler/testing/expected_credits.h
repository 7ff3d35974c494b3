#pragma once
#include <map>
#include <set>

#include "base/ids.h"

namespace slora {

// For tests: what clients have used less than their parts, from charges and queues alone. Each client has a position: the cost of its
// service, by weight, and what it was lifted by. The level is the lowest position of those that wait on, or of who left the queue last if
// nobody does, and never falls. A client that comes to the queue for the first time begins at the level, and one that comes back at most
// credit_max below it.
class ExpectedCredits {
 public:
  struct Client {
    double position = 0;
    bool has_waited = false;  // in any view
    bool waits = false;       // in the latest
  };

  explicit ExpectedCredits(double credit_max) : credit_max_(credit_max) {}

  void note_cost(ClientId client, double cost) { clients_[client].position += cost; }
  // Called with every view, after its costs.
  void note_waiting(const std::set<ClientId>& waiting);
  [[nodiscard]] const std::map<ClientId, Client>& clients() const { return clients_; }
  // How far it is below the level.
  [[nodiscard]] double credit_of(ClientId client) const;

 private:
  const double credit_max_;
  std::map<ClientId, Client> clients_;
  double level_ = 0;
  ClientId last_left_;
};

}  // namespace slora
