#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "train/data_line.h"

// Any line is refused, or one of the forms with parts that fit each other.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  constexpr std::int32_t kVocabularySize = 1000;
  const Result<DataLine> line = parse_data_line({reinterpret_cast<const char*>(data), bytes}, kVocabularySize);
  if (!line) {
    check(!line.error().message.empty(), "expected a reason");
    return 0;
  }
  if (const auto* conversation = std::get_if<ConversationLine>(&line->content)) {
    check(!conversation->messages.empty(), "expected messages");
    check(conversation->messages.size() == conversation->is_learned.size(), "expected to know of each message whether it is learned");
  } else if (const auto* segments = std::get_if<SegmentsLine>(&line->content)) {
    for (const TextRange& label : segments->labels)
      check(label.begin <= label.end && label.end <= segments->text.size(), "expected a part");
  } else if (const auto* tokens = std::get_if<TokensLine>(&line->content)) {
    check(tokens->ids.size() == tokens->labels.size(), "expected a label for each token");
    const auto fits = [](TokenId id) { return id >= 0 && id < kVocabularySize; };
    check(std::ranges::all_of(tokens->ids, fits), "expected tokens of the vocabulary");
  }
  return 0;
}
