#include "train/sample_maker.h"

#include <algorithm>
#include <utility>

#include "text/token_ranges.h"
#include "text/unicode.h"

namespace slora {
namespace {

bool begins_with(std::span<const TokenId> tokens, std::span<const TokenId> beginning) {
  return beginning.size() <= tokens.size() && std::ranges::equal(tokens.first(beginning.size()), beginning);
}

}  // namespace

Result<std::vector<Sample>> SampleMaker::make(const DataLine& line) {
  Result<std::vector<Draft>> drafts = std::visit([this](const auto& content) { return draft(content); }, line.content);
  if (!drafts) return forward_error(drafts);
  std::vector<Sample> samples;
  for (Draft& made : *drafts) {
    const bool is_long = made.tokens.size() > tokens_max_;
    counts_.truncated += is_long;
    if (is_long) {
      made.tokens.resize(tokens_max_);
      made.labels.resize(tokens_max_);
    }
    if (!made.labels.empty()) made.labels[0] = false;  // there is nothing before it
    if (std::ranges::find(made.labels, true) != made.labels.end()) {
      samples.push_back({std::move(made.tokens), std::move(made.labels), 0});
    } else {
      ++(is_long && made.had_labels ? counts_.lost_by_truncation : counts_.without_labels);
    }
  }
  if (drafts->empty()) ++counts_.without_labels;
  counts_.split_lines += drafts->size() > 1;
  return samples;
}

Result<std::vector<SampleMaker::Draft>> SampleMaker::draft(const ConversationLine& line) {
  if (!text_.chat) return error("E_DATA", "a conversation needs the model's chat template: {}", text_.chat.error().message);
  const auto is_long_enough = [this](std::string_view text) {
    const Result<std::vector<TokenId>> tokens = encode(text, SpecialTokens::omit);
    return tokens && tokens->size() > tokens_max_;
  };
  const std::string eos(text_.eos ? text_.tokenizer->token_text(*text_.eos) : std::string_view());
  const Result<std::vector<LabelledText>> texts = label_conversation(*text_.chat, line, eos, is_long_enough);
  if (!texts) return tl::unexpected(texts.error());
  std::vector<Draft> drafts;
  for (const LabelledText& labelled : *texts) {
    Result<Draft> made = draft_labelled(labelled);
    if (!made) return forward_error(made);
    drafts.push_back(std::move(*made));
  }
  return drafts;
}

// The prompt's tokens as a server has them, then the completion's. Where the two texts together have other tokens at the border, as where a
// prompt ends with a space, they are encoded apart, which is what a server sees.
Result<std::vector<SampleMaker::Draft>> SampleMaker::draft(const CompletionLine& line) {
  Result<std::vector<TokenId>> prompt = encode(line.prompt, SpecialTokens::add);
  if (!prompt) return forward_error(prompt);
  Result<std::vector<TokenId>> tokens = encode(line.prompt + line.completion, SpecialTokens::add);
  if (!tokens) return forward_error(tokens);
  if (!begins_with(*tokens, *prompt)) {
    const Result<std::vector<TokenId>> completion = encode(line.completion, SpecialTokens::omit);
    if (!completion) return tl::unexpected(completion.error());
    const std::string whole = text_.tokenizer->decode(*tokens, SpecialText::keep);
    *tokens = *prompt;
    tokens->insert(tokens->end(), completion->begin(), completion->end());
    if (text_.tokenizer->decode(*tokens, SpecialText::keep) != whole && tokens->size() <= tokens_max_) {
      return error("E_DATA",
                   "completion: expected a text whose tokens can follow those of the prompt, found one that the tokenizer joins "
                   "to the prompt's last word; let the prompt end earlier");
    }
  }
  append_eos(*tokens);
  std::vector<bool> labels(tokens->size(), true);
  const std::size_t prompt_count = std::min(prompt->size(), tokens->size());
  std::fill_n(labels.begin(), prompt_count, false);
  count_turn(*tokens, {prompt_count, tokens->size()});
  return std::vector{Draft{std::move(*tokens), std::move(labels), !line.completion.empty()}};
}

Result<std::vector<SampleMaker::Draft>> SampleMaker::draft(const TextLine& line) {
  Result<std::vector<TokenId>> tokens = encode(line.text, SpecialTokens::add);
  if (!tokens) return forward_error(tokens);
  append_eos(*tokens);
  const std::vector<bool> labels(tokens->size(), true);
  count_turn(*tokens, {0, tokens->size()});
  return std::vector{Draft{std::move(*tokens), labels, true}};
}

Result<std::vector<SampleMaker::Draft>> SampleMaker::draft(const SegmentsLine& line) {
  Result<Draft> made = draft_labelled({line.text, line.labels, false});
  if (!made) return forward_error(made);
  return std::vector{std::move(*made)};
}

Result<std::vector<SampleMaker::Draft>> SampleMaker::draft(const TokensLine& line) {
  const bool has_labels = std::ranges::find(line.labels, true) != line.labels.end();
  return std::vector{Draft{line.ids, line.labels, has_labels}};
}

Result<SampleMaker::Draft> SampleMaker::draft_labelled(const LabelledText& labelled) {
  Result<std::vector<TokenId>> tokens = encode(labelled.text, SpecialTokens::omit);
  if (!tokens) return forward_error(tokens);
  const Result<std::vector<TextRange>> turns = token_labels(labelled, *tokens);
  if (!turns) return tl::unexpected(turns.error());
  std::vector<bool> labels(tokens->size(), false);
  for (TextRange turn : *turns) {
    if (labelled.labels_follow_prompts) turn.end = end_of_turn(*tokens, turn);
    std::fill(labels.begin() + static_cast<std::ptrdiff_t>(turn.begin), labels.begin() + static_cast<std::ptrdiff_t>(turn.end), true);
    count_turn(*tokens, turn);
  }
  return Draft{std::move(*tokens), std::move(labels), !labelled.labels.empty()};
}

Result<std::vector<TextRange>> SampleMaker::token_labels(const LabelledText& labelled, std::span<const TokenId> tokens) const {
  const std::vector<TextRange> ranges = token_ranges(*text_.tokenizer, labelled.text, tokens);
  std::vector<TextRange> turns;
  for (const TextRange& label : labelled.labels) {
    if (label.begin == label.end) continue;
    // A token that a tokenizer inserts has no bytes, and belongs to the word that follows.
    const auto is_before = [&](const TextRange& range) { return range.end <= label.begin && range.begin < label.begin; };
    const auto is_within = [&](const TextRange& range) { return range.begin < label.end; };
    auto first = static_cast<std::size_t>(std::ranges::partition_point(ranges, is_before) - ranges.begin());
    const auto last = static_cast<std::size_t>(std::ranges::partition_point(ranges, is_within) - ranges.begin());
    if (labelled.labels_follow_prompts) {
      const Result<std::size_t> count = prompt_token_count(std::string_view(labelled.text).substr(0, label.begin), tokens);
      if (!count) return tl::unexpected(count.error());
      first = *count;
    }
    if (first < last) turns.push_back({first, last});
  }
  return turns;
}

Result<std::size_t> SampleMaker::prompt_token_count(std::string_view prompt, std::span<const TokenId> tokens) const {
  const Result<std::vector<TokenId>> own = encode(prompt, SpecialTokens::omit);
  if (!own) return tl::unexpected(own.error());
  if (begins_with(tokens, *own)) return own->size();
  return error("E_DATA",
               "the tokens of the prompt are not the first ones of the conversation with its answer, as the tokenizer joins the end of the "
               "prompt {} to what follows; expected an answer that begins a token of its own, without white space before it",
               quote(prompt.substr(prompt.size() - std::min<std::size_t>(prompt.size(), 40))));
}

// One token more than are kept, which says that there are more.
Result<std::vector<TokenId>> SampleMaker::encode(std::string_view text, SpecialTokens special) const {
  Result<std::vector<TokenId>> tokens = text_.tokenizer->encode_first(text, special, tokens_max_ + 1);
  if (!tokens) return error("E_DATA", "{}", tokens.error().message);
  const auto too_large = std::ranges::find_if(*tokens, [this](TokenId token) { return token >= text_.vocabulary_size; });
  if (too_large != tokens->end()) {
    return error("E_DATA", "the tokenizer writes the token {}; expected one below {}, as many as the model has rows for", *too_large,
                 text_.vocabulary_size);
  }
  // A text that begins with the token that the tokenizer adds would have it twice.
  const bool has_two = special == SpecialTokens::add && text_.bos && tokens->size() > 1 && (*tokens)[0] == *text_.bos;
  if (has_two && (*tokens)[1] == *text_.bos) tokens->erase(tokens->begin());
  return tokens;
}

void SampleMaker::append_eos(std::vector<TokenId>& tokens) const {
  const bool has_end = !tokens.empty() && text_.is_end(tokens.back());
  if (text_.eos && !has_end && tokens.size() <= tokens_max_) tokens.push_back(*text_.eos);
}

std::size_t SampleMaker::end_of_turn(std::span<const TokenId> tokens, const TextRange& turn) const {
  std::size_t end = turn.end;
  for (std::size_t i = turn.end; i > turn.begin; --i) {
    if (text_.is_end(tokens[i - 1])) {
      end = i;
    } else if (!is_blank(tokens.subspan(i - 1, 1))) {
      break;
    }
  }
  return end;
}

// A turn that is cut off by the length has no end to look at.
void SampleMaker::count_turn(std::span<const TokenId> tokens, const TextRange& turn) {
  if (turn.end > tokens_max_ || turn.begin >= turn.end) return;
  ++counts_.turns;
  std::size_t end = turn.end;
  while (end > turn.begin && !text_.is_end(tokens[end - 1])) --end;
  const bool ends = end > turn.begin && is_blank(tokens.subspan(end, turn.end - end));
  counts_.turns_without_end += !ends;
}

bool SampleMaker::is_blank(std::span<const TokenId> tokens) const {
  const std::string text = text_.tokenizer->decode(tokens, SpecialText::keep);
  return leading_white_space(text) == text.size();
}

}  // namespace slora
