#include "train/data_report.h"

#include <fmt/format.h>

#include <span>

#include "formats/json.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::size_t kPartTokensMax = 200;   // of a part that is shown whole
constexpr std::size_t kPartTokensShown = 80;  // of either end of a longer one

std::string text_of(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  std::string bytes;
  for (const TokenId token : tokens) bytes += tokenizer.token_bytes(token);
  std::string text;
  for (const char c : to_valid_utf8(bytes)) {
    const auto code = static_cast<unsigned char>(c);
    const bool is_control = (code < 0x20 && c != '\n' && c != '\t') || code == 0x7F;
    if (is_control) {
      text += fmt::format("\\x{:02X}", code);
    } else {
      text += c;
    }
  }
  return text;
}

std::string part_of(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  if (tokens.size() <= kPartTokensMax) return text_of(tokenizer, tokens);
  return fmt::format("{} [{} tokens] {}", text_of(tokenizer, tokens.first(kPartTokensShown)), tokens.size() - 2 * kPartTokensShown,
                     text_of(tokenizer, tokens.last(kPartTokensShown)));
}

double percent(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string entry(std::string_view what, const std::string& value) { return fmt::format("{:<16}{}\n", what, value); }

}  // namespace

std::string shown_sample(const Sample& sample, const Tokenizer& tokenizer, const LabelMarks& marks) {
  const std::span<const TokenId> tokens(sample.tokens);
  std::string text;
  for (std::size_t begin = 0; begin < tokens.size();) {
    std::size_t end = begin;
    while (end < tokens.size() && sample.labels[end] == sample.labels[begin]) ++end;
    const std::string part = part_of(tokenizer, tokens.subspan(begin, end - begin));
    text += sample.labels[begin] ? fmt::format("{}{}{}", marks.begin, part, marks.end) : part;
    begin = end;
  }
  return text;
}

std::string data_summary(const TrainingData& data, std::string_view name, std::size_t tokens_max) {
  const SampleCounts& counts = data.counts;
  const auto sample_count = static_cast<std::int64_t>(data.samples.size());
  std::string text = entry("data", fmt::format("{}, {} lines", name, data.line_count));
  text += entry("samples", fmt::format("{}", sample_count));
  text += entry("tokens", fmt::format("{}, {:.1f} a sample", data.token_count,
                                      sample_count == 0 ? 0 : static_cast<double>(data.token_count) / static_cast<double>(sample_count)));
  text += entry("labels", fmt::format("{}, {:.1f} % of the tokens", data.label_count, percent(data.label_count, data.token_count)));
  text += entry("cut off", fmt::format("{} samples longer than {} tokens (--max-length)", counts.truncated, tokens_max));
  text += entry("dropped", fmt::format("{} samples: {} whose labels were cut off, {} without any", counts.lost(), counts.lost_by_truncation,
                                       counts.without_labels));
  if (counts.split_lines > 0) {
    text +=
        entry("split", fmt::format("{} conversations into a sample for each answer, as the chat template writes former turns in another "
                                   "way than the last one",
                                   counts.split_lines));
  }
  std::string keys;
  for (const auto& [key, count] : data.unknown_keys) keys += fmt::format("{}{} ({} lines)", keys.empty() ? "" : ", ", quote(key), count);
  text += entry("unknown keys", keys.empty() ? "none" : keys);
  return text;
}

}  // namespace slora
