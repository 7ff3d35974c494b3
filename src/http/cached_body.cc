#include "http/cached_body.h"

#include <utility>

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
  answered_next_ = std::exchange(waiting_, {});
  const bool taken = pool_.try_run([this] {
    auto body = std::make_shared<const Body>(format_());
    post_([this, body = std::move(body)]() mutable { finish_format(std::move(body)); });
  });
  if (!taken) finish_format(std::make_shared<const Body>(format_()));  // the thread is still busy with the end of the job before
}

void CachedBody::finish_format(std::shared_ptr<const Body> body) {
  body_ = std::move(body);
  for (const std::shared_ptr<Exchange>& exchange : std::exchange(answered_next_, {})) exchange->respond(json_response(body_->text));
  std::vector<std::shared_ptr<Exchange>> later = std::exchange(waiting_, {});
  for (std::shared_ptr<Exchange>& exchange : later) answer(std::move(exchange));
}

}  // namespace slora
