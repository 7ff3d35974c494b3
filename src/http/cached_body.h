#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/work_pool.h"
#include "http/answer_pool.h"
#include "http/types.h"

namespace slora {

// A large JSON body that is the same until what it shows has changed. It is formatted by a thread of its own, once for all requests that
// come meanwhile, so that those who ask often do not delay others. I/O thread.
class CachedBody {
 public:
  struct Body {
    std::uint64_t stamp = 0;  // of what it shows
    std::string text;
  };

  // `stamp_now` is called on the I/O thread and is cheap; `format` on the other one. What they use outlives this.
  CachedBody(std::function<std::uint64_t()> stamp_now, std::function<Body()> format, PostToIo post);

  // Answers with a body that shows what was there when the request came, or later.
  void answer(std::shared_ptr<Exchange> exchange);

 private:
  void start_format();
  void finish_format(std::shared_ptr<const Body> body);

  const std::function<std::uint64_t()> stamp_now_;
  const std::function<Body()> format_;
  const PostToIo post_;
  std::shared_ptr<const Body> body_;                                // null: none yet; shared, because it is made on the other thread
  std::vector<std::shared_ptr<Exchange>> answered_next_, waiting_;  // came before formatting began, and after
  WorkPool pool_{1, 1};                                             // last: its job uses the members above
};

}  // namespace slora
