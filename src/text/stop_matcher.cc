#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {

StopMatcher::StopMatcher(std::vector<std::string> stops, StopText stop_text) : stop_text_(stop_text) {
  for (std::string& stop : stops) {
    check(!stop.empty(), "expected a stop string that is not empty");
    Needle needle{std::move(stop), {}, 0};
    needle.border.resize(needle.text.size());
    std::size_t length = 0;
    for (std::size_t i = 1; i < needle.text.size(); ++i) {
      while (length > 0 && needle.text[i] != needle.text[length]) length = needle.border[length - 1];
      if (needle.text[i] == needle.text[length]) ++length;
      needle.border[i] = length;
    }
    needles_.push_back(std::move(needle));
  }
}

StopMatcher::Output StopMatcher::push(std::string_view piece) {
  const std::size_t held_before = held_.size();
  held_ += piece;
  for (std::size_t at = held_before; at < held_.size(); ++at) {
    const Needle* hit = nullptr;
    for (Needle& needle : needles_) {
      while (needle.matched > 0 && held_[at] != needle.text[needle.matched]) needle.matched = needle.border[needle.matched - 1];
      if (held_[at] == needle.text[needle.matched]) ++needle.matched;
      if (needle.matched == needle.text.size() && (hit == nullptr || needle.text.size() > hit->text.size())) hit = &needle;
    }
    if (hit != nullptr) {
      const std::size_t kept = at + 1 - (stop_text_ == StopText::exclude ? hit->text.size() : 0);
      Output output{held_.substr(0, kept), static_cast<std::size_t>(hit - needles_.data())};
      held_.clear();
      return output;
    }
  }
  std::size_t open = 0;  // longest suffix of the text that is a prefix of a stop string
  for (const Needle& needle : needles_) open = std::max(open, needle.matched);
  Output output{held_.substr(0, held_.size() - open), std::nullopt};
  held_.erase(0, held_.size() - open);
  return output;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace slora
