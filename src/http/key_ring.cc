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
  if (const Status taken = ring->take_text(*text); !taken) {
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
  // Shared by the two halves of the work.
  const auto text = std::make_shared<Result<std::string>>(error("bad_key_file", "it could not be read"));
  is_reading_ = pool_->try_run([path = options_.file->string(), text] { *text = read_text_file(path, kKeyFileBytesMax); },
                               [this, text] {
                                 is_reading_ = false;
                                 take_file(*text);
                               });
}

void KeyRing::take_file(const Result<std::string>& text) {
  if (text && *text == text_) return;
  const Status taken = text ? take_text(*text) : Status(tl::unexpected(text.error()));
  if (taken) {
    complaint_.clear();
    log_info("--api-key-file was read again");
  } else if (std::exchange(complaint_, taken.error().message) != taken.error().message) {
    log_warning("--api-key-file: {}; the keys that it had before stay valid", taken.error().message);
  }
}

Status KeyRing::take_text(const std::string& text) {
  text_ = text;
  Result<std::vector<ApiKey>> keys = parse_key_file(text, tenants_);
  if (!keys) return forward_error(keys);
  keys_ = ApiKeys(KeyNeed::needed, keys_with(options_, std::move(*keys)));
  return {};
}

}  // namespace slora
