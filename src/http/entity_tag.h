#pragma once
#include <string>
#include <string_view>

#include "http/types.h"

namespace slora {

// The response with this ETag (in quotes); 304 without its body where the request's If-None-Match has that tag, or is "*".
[[nodiscard]] HttpResponse with_entity_tag(HttpResponse response, std::string_view tag, std::string_view if_none_match);

}  // namespace slora
