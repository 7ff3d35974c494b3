#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/request_metrics.h"
#include "engine/runtime.h"
#include "http/answer_pool.h"
#include "http/types.h"
#include "memory/page_map.h"

namespace slora {

// What the page shows of the server, as one JSON document: GET /slora/state. The engine draws the map of the pool between two steps, at
// most a few times a second however many clients want it; the text is made on a thread of its own. I/O thread.
class StateRoutes {
 public:
  // Runs work once on the I/O thread after a delay.
  using PostAfter = std::function<void(std::chrono::milliseconds, std::function<void()>)>;
  // What of the server never changes.
  struct Fixed {
    std::string model_name;
    bool serves_chats = false;
  };

  // What it borrows outlives it.
  StateRoutes(Fixed fixed, Runtime& runtime, const RequestMetrics& requests, PostToIo post, PostAfter post_after);

  // With ?after=NAME the adapters after this name, with ?filter=TEXT those whose name has it. When the engine does not answer within a
  // second, the map is the latest that it drew.
  void state(const std::shared_ptr<Exchange>& exchange);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Wanted {
    std::string after, filter, if_none_match;
    std::shared_ptr<const ModelAccess> access;
  };

  void start_look();
  void end_look(std::shared_ptr<const PageMap> map);
  void answer_waiting();
  void answer(const std::shared_ptr<Exchange>& exchange);
  // On the thread of texts_. `map`: null before the engine drew one.
  [[nodiscard]] HttpResponse respond(const Wanted& wanted, const PageMap* map) const;
  void append_map(std::string& out, const PageMap& map, const ModelAccess& access) const;
  [[nodiscard]] std::string adapters_text(const Wanted& wanted) const;

  const Fixed fixed_;
  Runtime& runtime_;
  const RequestMetrics& requests_;
  const PostToIo post_;
  const PostAfter post_after_;
  const std::int64_t unix_offset_ns_;   // of the system's clock to that of Timestamp, when the server started
  std::shared_ptr<const PageMap> map_;  // the latest; shared with the thread that writes it as text
  TimePoint looked_at_{};               // when that was drawn
  std::uint64_t looks_begun_ = 0;
  bool is_looking_ = false, is_overdue_ = false;
  std::vector<std::shared_ptr<Exchange>> waiting_;  // for the look under way; bounded by the connections
  AnswerPool texts_;                                // last: its work uses the members above
};

}  // namespace slora
