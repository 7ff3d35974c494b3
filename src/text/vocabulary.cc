#include "text/vocabulary.h"

namespace slora {
namespace {

constexpr std::int64_t kIdMax = 4'000'000;  // about ten times the largest published vocabulary

}  // namespace

Status Vocabulary::add(std::string_view text, std::int64_t id) {
  if (id < 0 || id > kIdMax) return error("E_TOKENIZER", "tokenizer.json: token \"{}\" has id {}, expected 0 to {}", text, id, kIdMax);
  const auto [entry, added] = ids_.insert_or_assign(std::string(text), static_cast<TokenId>(id));
  const auto index = static_cast<std::size_t>(id);
  if (index >= texts_.size()) texts_.resize(index + 1);
  texts_[index] = entry->first;  // keys of a node-based map have stable addresses
  return {};
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto entry = ids_.find(text);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

bool Vocabulary::contains(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < texts_.size() && texts_[static_cast<std::size_t>(id)].data() != nullptr;
}

std::string_view Vocabulary::text(TokenId id) const { return contains(id) ? texts_[static_cast<std::size_t>(id)] : std::string_view(); }

}  // namespace slora
