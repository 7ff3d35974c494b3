#include "http/cached_body.h"

#include <utility>

#include "base/caught.h"
#include "http/responses.h"

namespace slora {

CachedBody::CachedBody(std::function<std::uint64_t()> stamp_now, std::function<Body()> format, PostToIo post)
    : stamp_now_(std::move(stamp_now)), format_(std::move(format)), post_(std::move(post)) {}

void CachedBody::answer(std::shared_ptr<Exchange> exchange) {
  if (body_ != nullptr && body_->stamp == stamp_now_()) return exchange->respond(json_response(body_->text));
  waiting_.push_back(std::move(exchange));
  if (answered_next_.empty()) start_format();
}

void CachedBody::start_format() {
  const auto body = std::make_shared<std::shared_ptr<const Body>>();  // null: it failed; shared with the other thread until it is posted
  std::function<void()> back = [this, body] { finish_format(std::move(*body)); };
  std::function<void()> job = [this, body, back = std::move(back)]() mutable {
    try {
      *body = std::make_shared<const Body>(format_());
    } catch (...) {
      log_exception("a list could not be formatted");
    }
    post_(std::move(back));
  };
  answered_next_ = std::exchange(waiting_, {});
  // The thread may still be busy with the end of the job before.
  if (!pool_.try_run(std::move(job))) finish_format(std::make_shared<const Body>(format_()));
}

void CachedBody::finish_format(std::shared_ptr<const Body> body) {
  const bool is_formatted = body != nullptr;
  if (is_formatted) body_ = std::move(body);
  for (const std::shared_ptr<Exchange>& exchange : std::exchange(answered_next_, {})) {
    if (is_formatted) {
      exchange->respond(json_response(body_->text));
    } else {
      exchange->give_up();
    }
  }
  std::vector<std::shared_ptr<Exchange>> later = std::exchange(waiting_, {});
  for (std::shared_ptr<Exchange>& exchange : later) answer(std::move(exchange));
}

}  // namespace slora
