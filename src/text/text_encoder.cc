#include "text/text_encoder.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace slora {
namespace {

// Visits `items` in this order until a visit fails or `is_full` holds.
template <TextOrder order, class Items, class IsFull, class Visit>
Status visit_in_order(const Items& items, const IsFull& is_full, const Visit& visit) {
  for (std::size_t i = 0; i < items.size() && !is_full(); ++i) {
    if (Status visited = visit(items[order == TextOrder::forward ? i : items.size() - 1 - i]); !visited) return visited;
  }
  return {};
}

std::string_view part_of(std::string_view text, const TextRange& range) { return text.substr(range.begin, range.end - range.begin); }

}  // namespace

template <TextOrder order>
Result<std::vector<TokenId>> TextEncoder<order>::encode(std::string_view text, SpecialTokens special) {
  const std::string valid = to_valid_utf8(text);
  work_ += valid.size();
  ids_.reserve(std::min(valid.size() / 3 + 4, count_));
  const std::vector<TokenId> none;
  const bool is_bare = special == SpecialTokens::omit;
  const std::vector<TokenId>& before = is_bare ? none : parts_.post_processor.before();
  const std::vector<TokenId>& after = is_bare ? none : parts_.post_processor.after();
  add_tokens(order == TextOrder::forward ? before : after);
  if (Status added = add_text(valid); !added) return forward_error(added);
  add_tokens(order == TextOrder::forward ? after : before);
  if (ids_.size() > count_) ids_.resize(count_);
  if (order == TextOrder::backward) std::ranges::reverse(ids_);
  return std::move(ids_);
}

template <TextOrder order>
Status TextEncoder<order>::add_text(std::string_view text) {
  const auto full = [this] { return is_full(); };
  return visit_in_order<order>(parts_.added_tokens.split_raw(text), full, [&](const AddedTokens::Part& part) -> Status {
    if (!part.token) return add_raw(text, part.range);
    add_tokens({&*part.token, 1});
    return {};
  });
}

template <TextOrder order>
Status TextEncoder<order>::add_raw(std::string_view text, const TextRange& range) {
  Result<std::string> normalized = parts_.normalizer.apply(std::string(part_of(text, range)));
  if (!normalized) return forward_error(normalized);
  work_ += normalized->size();
  const auto full = [this] { return is_full(); };
  return visit_in_order<order>(parts_.added_tokens.split_normalized(*normalized), full, [&](const AddedTokens::Part& part) -> Status {
    if (!part.token) {
      std::string between(part_of(*normalized, part.range));
      const std::size_t bytes = between.size();
      return add_between(CutText{std::move(between), {{0, bytes}}, range.begin == 0 && part.range.begin == 0});
    }
    add_tokens({&*part.token, 1});
    return {};
  });
}

template <TextOrder order>
Status TextEncoder<order>::add_between(CutText cut) {
  work_ += cut.text.size();
  if (Status status = parts_.pre_tokenizer.apply(cut); !status) return status;
  const auto full = [this] { return is_full(); };
  return visit_in_order<order>(cut.pieces, full, [&](const TextRange& piece) { return add_word(cut.piece(piece)); });
}

template <TextOrder order>
Status TextEncoder<order>::add_word(std::string_view word) {
  const auto add_part = [&](const TextRange& part) -> Status {
    part_ids_.clear();
    work_ += part.end - part.begin + parts_.model->encode(word, part, part_ids_);
    add_tokens(part_ids_);
    return {};
  };
  if (word.size() <= Bpe::kPartBytesMin) return add_part({0, word.size()});  // nearly all of them
  const Result<std::vector<TextRange>> parts = parts_.model->parts_of(word);
  if (!parts) return tl::unexpected<Error>(parts.error());
  return visit_in_order<order>(
      *parts, [this] { return is_full(); }, add_part);
}

template <TextOrder order>
void TextEncoder<order>::add_tokens(std::span<const TokenId> tokens) {
  if (order == TextOrder::forward) {
    ids_.insert(ids_.end(), tokens.begin(), tokens.end());
  } else {
    ids_.insert(ids_.end(), tokens.rbegin(), tokens.rend());
  }
}

template class TextEncoder<TextOrder::forward>;
template class TextEncoder<TextOrder::backward>;

}  // namespace slora
