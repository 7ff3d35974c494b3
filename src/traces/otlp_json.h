#pragma once
#include <span>
#include <string>

#include "traces/span.h"

namespace slora {

// The body of an OTLP export of these spans in its JSON form. Text that is not UTF-8 is repaired.
[[nodiscard]] std::string otlp_body(std::span<const Span> spans, const std::string& service_version);

}  // namespace slora
