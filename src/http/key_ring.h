#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/answer_pool.h"
#include "http/api_keys.h"
#include "http/key_file.h"

namespace slora {

struct KeyOptions {
  std::vector<std::string> user_keys, admin_keys;
  std::optional<std::filesystem::path> file;  // more keys (key_file.h); read again when it changes

  [[nodiscard]] bool has_keys() const { return !user_keys.empty() || !admin_keys.empty() || file.has_value(); }
};

// The keys that are valid now. A change of the key file counts within a second, for the next request of a connection too; while the file
// can't be read or is not valid, the keys that it had last stay valid and the log says why. Used on the I/O thread; the file is read and
// parsed on a thread of its own.
class KeyRing {
 public:
  using PostAfter = std::function<void(std::chrono::milliseconds, std::function<void()>)>;

  // "bad_key_file" when the file can't be read or is not valid.
  [[nodiscard]] static Result<std::unique_ptr<KeyRing>> create(KeyOptions options);

  // As ApiKeys::admit.
  [[nodiscard]] Result<Caller> admit(Role role, std::string_view authorization) const { return keys_.admit(role, authorization); }
  [[nodiscard]] KeyNeed need() const { return keys_.need(); }

  // Looks at the file from now on. `post` and `post_after` run work on the I/O thread; the latter after a delay.
  void watch(AnswerPool::Post post, PostAfter post_after);
  // Takes what the file says now, given by whoever read it. Requires: not after watch().
  void take_file(Result<std::string> text) { take_and_log(examine(std::move(text))); }

 private:
  explicit KeyRing(KeyOptions options);

  // What a look at the file found.
  struct News {
    std::optional<std::string> text;      // nothing: it could not be read
    std::optional<Result<ApiKeys>> keys;  // nothing: it says what it said before
  };
  // On the thread that reads, while no news is being taken.
  [[nodiscard]] News examine(Result<std::string> text);
  [[nodiscard]] Status take(News news);
  void take_and_log(News news);
  void look();

  const KeyOptions options_;
  TenantNumbers tenants_;            // of the thread that reads
  KeyQuotas quotas_;                 // the same
  std::optional<std::string> text_;  // the file's when it was read last; written while nobody reads
  ApiKeys keys_;
  std::string complaint_;  // logged last, not to repeat it
  bool is_reading_ = false;
  PostAfter post_after_;
  std::unique_ptr<AnswerPool> pool_;  // last: its work uses the members above. Null until watch()
};

}  // namespace slora
