#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace slora {

// Token texts by id and ids by text. Ids may have gaps. Owned by a tokenizer; constant once that is constructed.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // A later text for an id, or id for a text, replaces the earlier one. Refuses ids above 4 million, which would need a huge table.
  Status add(std::string_view text, std::int64_t id);

  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const;
  [[nodiscard]] bool contains(TokenId id) const;
  // Empty for an id without a token.
  [[nodiscard]] std::string_view text(TokenId id) const;
  bool operator==(const Vocabulary& other) const { return ids_ == other.ids_; }
  // The number of texts with an id.
  [[nodiscard]] std::size_t token_count() const { return ids_.size(); }
  // One more than the largest id.
  [[nodiscard]] std::size_t size() const { return texts_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
  std::vector<std::string_view> texts_;  // [largest id + 1], views of keys in ids_; data() is null for ids without a token
};

}  // namespace slora
