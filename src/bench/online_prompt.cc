#include "bench/online_prompt.h"

#include <array>
#include <string_view>

#include "base/check.h"
#include "bench/workload/random_numbers.h"

namespace slora::bench {
namespace {

// With a space before it, each is one token in the vocabularies of GPT-2, Llama and Qwen.
constexpr std::array<std::string_view, 32> kWords = {"the",  "of",    "and", "to",   "in",  "is",  "that", "for", "it",   "as",  "was",
                                                     "with", "be",    "by",  "on",   "not", "he",  "this", "are", "or",   "his", "from",
                                                     "at",   "which", "but", "have", "an",  "had", "they", "you", "were", "one"};

std::string random_text(RandomNumbers& random, std::int32_t words) {
  std::string text;
  for (std::int32_t i = 0; i < words; ++i) {
    if (i > 0) text += ' ';
    text += kWords[random.below(kWords.size())];
  }
  return text;
}

}  // namespace

TrafficRequest online_request(const PromptOptions& options, const TraceRequest& request, std::size_t index) {
  TrafficRequest sent;
  sent.output_tokens = request.output_tokens;
  if (request.adapter >= 0) {
    check(static_cast<std::size_t>(request.adapter) < options.adapters.size(), "expected a name for each adapter of the trace");
    sent.adapter = options.adapters[static_cast<std::size_t>(request.adapter)];
  }
  RandomNumbers random(RandomNumbers(options.seed).next() + index);
  if (options.form == PromptForm::text) {
    sent.text = random_text(random, request.input_tokens);
    return sent;
  }
  sent.prompt.resize(static_cast<std::size_t>(request.input_tokens));
  for (TokenId& token : sent.prompt) token = static_cast<TokenId>(random.below(static_cast<std::uint64_t>(options.vocabulary)));
  return sent;
}

TrafficRequest probe_request(const PromptOptions& options) {
  TrafficRequest probe;
  probe.output_tokens = 1;
  if (!options.adapters.empty()) probe.adapter = options.adapters.front();
  if (options.form == PromptForm::text) {
    probe.text = kWords.front();
  } else {
    probe.prompt = {static_cast<TokenId>(options.vocabulary - 1)};
  }
  return probe;
}

}  // namespace slora::bench
