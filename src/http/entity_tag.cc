#include "http/entity_tag.h"

#include <algorithm>

namespace slora {
namespace {

// If-None-Match compares weakly: a proxy that compresses makes a tag weak.
bool names_tag(std::string_view list, std::string_view tag) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string_view each = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    while (each.starts_with(' ')) each.remove_prefix(1);
    while (each.ends_with(' ')) each.remove_suffix(1);
    if (each.starts_with("W/")) each.remove_prefix(2);
    if (each == "*" || each == tag) return true;
  }
  return false;
}

}  // namespace

HttpResponse with_entity_tag(HttpResponse response, std::string_view tag, std::string_view if_none_match) {
  response.headers.emplace_back("ETag", tag);
  response.headers.emplace_back("Cache-Control", "no-cache");  // may be stored, but is asked about before each use
  if (!names_tag(if_none_match, tag)) return response;
  response.status = 304;
  response.content_type.clear();
  response.body.clear();
  return response;
}

}  // namespace slora
