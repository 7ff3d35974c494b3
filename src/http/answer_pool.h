#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/work_pool.h"
#include "http/types.h"

namespace slora {

// Whether the content type is JSON. An absent or different type is refused: a web page in the user's browser may send those to a server on
// this machine without a CORS preflight.
[[nodiscard]] bool is_json(std::string_view content_type);

// Runs work on the I/O thread; any thread.
using PostToIo = std::function<void(std::function<void()>)>;
// Computes a response from a body; any thread.
using AnswerWork = std::function<HttpResponse(std::string_view body)>;
// Queues a job about a body of this size for another thread; false when too much waits.
using RunElsewhere = std::function<bool(std::size_t body_bytes, std::function<void()> job)>;

// Looks at a body on that thread before the work is done: whether the work has to wait. If so, calls `go_on` later on such a thread, or on
// any thread with an error to be answered.
using AwaitFirst = std::function<bool(std::string_view body, std::function<void(Status)> go_on)>;

// Answers a request with what `work` returns on another thread, or "queue_full". I/O thread.
void answer_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work,
                      AwaitFirst await = {});
// The same for a body that must be JSON, and work that may have to wait.
void answer_json_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work,
                           AwaitFirst await = {});

// Worker threads that compute whole responses, for routes that read files. Bounded: more work is answered "queue_full". The methods are
// called on the I/O thread.
class AnswerPool {
 public:
  using Post = PostToIo;
  using Work = AnswerWork;

  AnswerPool(Post post, std::size_t thread_count);

  // Answers a request without a body, or with one that must be JSON.
  void answer(std::shared_ptr<Exchange> exchange, Work work);
  void answer_json(std::shared_ptr<Exchange> exchange, Work work);
  // Queues `work` and then runs `done` on the I/O thread, also when `work` throws; false when the queue is full.
  [[nodiscard]] bool try_run(std::function<void()> work, std::function<void()> done);

 private:
  const Post post_;
  WorkPool pool_;  // last: its jobs use the member above
};

}  // namespace slora
