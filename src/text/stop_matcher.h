#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slora {

// Whether the stop string stays at the end of the text.
enum class StopText { exclude, include };

// Finds stop strings in a text that arrives in pieces of any size. Text that may be the start of a stop
// string is held back. The match that ends first is taken; of several with the same end, the longest. Linear in the text, per
// stop string. Owned by one stream and its thread.
class StopMatcher {
 public:
  struct Output {
    std::string text;                 // safe to emit
    std::optional<std::size_t> stop;  // index of the stop string that was found; push() must not be called afterwards
  };

  // Requires: no stop string is empty.
  StopMatcher(std::vector<std::string> stops, StopText stop_text);

  [[nodiscard]] Output push(std::string_view piece);
  // The text that was held back, when the text ends without a stop string.
  [[nodiscard]] std::string finish();

 private:
  // One stop string and how much of it the end of the text matches (Knuth-Morris-Pratt).
  struct Needle {
    std::string text;
    std::vector<std::size_t> border;  // [text.size()]: longest proper prefix of text[0..i] that also ends it
    std::size_t matched = 0;
  };

  std::vector<Needle> needles_;
  StopText stop_text_;
  std::string held_;  // end of the text, not emitted yet
};

}  // namespace slora
