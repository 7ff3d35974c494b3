#include "cli/text_list.h"

#include <algorithm>
#include <string_view>

namespace slora {
namespace {

std::string_view without(std::string_view text, std::string_view at_begin, std::string_view at_end) {
  const std::size_t begin = text.find_first_not_of(at_begin);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(at_end) + 1);
}

}  // namespace

std::vector<std::string> texts_of_option(const std::vector<std::string>& given) {
  std::vector<std::string> texts;
  for (const std::string& value : given) {
    const std::string_view list = without(value, " [", " ]");
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      const std::string_view text = without(list.substr(begin, end - begin), " \"'", " \"'");
      if (!text.empty()) texts.emplace_back(text);
      begin = end + 1;
    }
  }
  return texts;
}

}  // namespace slora
