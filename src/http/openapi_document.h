#pragma once
#include "formats/json.h"
#include "http/routes.h"

namespace slora {

// The description of all routes (OpenAPI 3.1), made from the table that requests are routed by.
[[nodiscard]] Json openapi_document(const RouteTable& routes);

}  // namespace slora
