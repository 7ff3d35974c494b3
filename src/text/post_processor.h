#pragma once
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// The "post_processor" of a tokenizer.json: the tokens that it adds around a single text. Immutable.
class PostProcessor {
 public:
  [[nodiscard]] static Result<PostProcessor> from_json(const Json& tokenizer_json);

  [[nodiscard]] const std::vector<TokenId>& before() const { return before_; }
  [[nodiscard]] const std::vector<TokenId>& after() const { return after_; }

 private:
  Status add(const Json& step, const std::string& path);
  Status add_template(const Json& step);
  Status add_pair(const Json& step);
  static Status append_special(std::vector<TokenId>& out, const Json& step, const std::string& name);

  std::vector<TokenId> before_;
  std::vector<TokenId> after_;
};

}  // namespace slora
