#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "base/work_pool.h"
#include "http/types.h"

namespace slora {

// Whether a body comes as JSON by name. Nothing else will do, and nothing said neither: a page that a browser shows may send every other
// type to a server on this machine without asking.
[[nodiscard]] bool is_json(std::string_view content_type);

// Threads that make whole answers from bodies, for routes that read files or tokenise. Bounded: what does not fit is answered "queue_full".
// I/O thread but for the work.
class AnswerPool {
 public:
  // Runs work on the I/O thread; any thread.
  using Post = std::function<void(std::function<void()>)>;
  // Any thread.
  using Work = std::function<HttpResponse(std::string_view body)>;

  AnswerPool(Post post, std::size_t thread_count);

  // Answers a request without a body, or with one that must be JSON.
  void answer(std::shared_ptr<Exchange> exchange, Work work);
  void answer_json(std::shared_ptr<Exchange> exchange, Work work);
  // Runs `work` between the answers, then `done` on the I/O thread; false when too much waits.
  [[nodiscard]] bool try_run(std::function<void()> work, std::function<void()> done);

 private:
  const Post post_;
  WorkPool pool_;  // last: its jobs use the other
};

}  // namespace slora
