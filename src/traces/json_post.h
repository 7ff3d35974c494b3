#pragma once
#include <chrono>
#include <string>

#include "traces/collector_url.h"

namespace slora {

struct PostAnswer {
  int status = 0;
  std::string retry_after;  // of its head; may be empty
  std::string body;
};

// Posts JSON to a server and reads its answer, all of it until `end`. `bearer`: key to send; empty: none. Throws what goes wrong with the
// connection, as a std::exception.
[[nodiscard]] PostAnswer post_json(const CollectorUrl& to, std::string body, const std::string& bearer,
                                   std::chrono::steady_clock::time_point end);

}  // namespace slora
