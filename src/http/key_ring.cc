#include "http/key_ring.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::size_t kKeyFileBytesMax = std::size_t{2} << 20;
constexpr std::chrono::milliseconds kInterval(400);  // so that a change counts within a second

std::vector<ApiKey> keys_with(const KeyOptions& options, std::vector<ApiKey> others) {
  std::vector<ApiKey> keys = keys_of_options(options.user_keys, options.admin_keys);
  std::ranges::move(others, std::back_inserter(keys));
  return keys;
}

}  // namespace

KeyRing::KeyRing(KeyOptions options)
    : options_(std::move(options)),
      tenants_(TenantId{static_cast<std::uint32_t>(options_.user_keys.size() + 1)}),
      keys_(options_.has_keys() ? KeyNeed::needed : KeyNeed::none, keys_with(options_, {})) {}

Result<std::unique_ptr<KeyRing>> KeyRing::create(KeyOptions options) {
  std::unique_ptr<KeyRing> ring(new KeyRing(std::move(options)));
  if (!ring->options_.file) return ring;
  const std::string path = ring->options_.file->string();
  const Result<std::string> text = read_text_file(path, kKeyFileBytesMax);
  if (!text) return error("bad_key_file", "--api-key-file: {}: {}", path, text.error().message);
  if (const Status taken = ring->take(ring->examine(*text)); !taken) {
    return error("bad_key_file", "--api-key-file: {}: {}", path, taken.error().message);
  }
  return ring;
}

void KeyRing::watch(AnswerPool::Post post, PostAfter post_after) {
  if (!options_.file) return;
  post_after_ = std::move(post_after);
  pool_ = std::make_unique<AnswerPool>(std::move(post), 1);
  look();
}

void KeyRing::look() {
  post_after_(kInterval, [this] { look(); });  // first, for the rest may throw when memory runs out
  if (is_reading_) return;
  const auto news = std::make_shared<News>();  // shared by the two halves of the work
  is_reading_ = pool_->try_run([this, news] { *news = examine(read_text_file(options_.file->string(), kKeyFileBytesMax)); },
                               [this, news] {
                                 is_reading_ = false;
                                 take_and_log(std::move(*news));
                               });
}

KeyRing::News KeyRing::examine(Result<std::string> text) {
  if (!text) return {std::nullopt, tl::unexpected(text.error())};
  if (*text == text_) return {std::move(*text), std::nullopt};
  Result<std::vector<ApiKey>> keys = parse_key_file(*text, tenants_, quotas_);
  quotas_.tidy();
  if (!keys) return {std::move(*text), forward_error(keys)};
  return {std::move(*text), ApiKeys(KeyNeed::needed, keys_with(options_, std::move(*keys)))};
}

Status KeyRing::take(News news) {
  if (!news.keys) return {};
  if (news.text) text_ = std::move(*news.text);
  if (!*news.keys) return forward_error(*news.keys);
  keys_ = std::move(**news.keys);
  return {};
}

void KeyRing::take_and_log(News news) {
  if (!news.keys) return;
  const Status taken = take(std::move(news));
  if (taken) {
    complaint_.clear();
    log_info("--api-key-file was read again");
  } else if (std::exchange(complaint_, taken.error().message) != taken.error().message) {
    log_warning("--api-key-file: {}; the keys that it had before stay valid", taken.error().message);
  }
}

}  // namespace slora
