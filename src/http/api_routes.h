#pragma once
#include <cstdint>

#include "http/adapter_routes.h"
#include "http/generation_routes.h"
#include "http/info_routes.h"
#include "http/routes.h"
#include "http/state_routes.h"
#include "http/status_routes.h"
#include "http/tokenize_routes.h"

namespace slora {

// The handlers of the routes. All outlive the table.
struct Apis {
  GenerationRoutes& generation;
  TokenizeRoutes& tokenize;
  StatusRoutes& status;
  InfoRoutes& info;
  AdapterRoutes& adapters;
  StateRoutes& state;
};

// Whether browsers get a page at "/".
enum class PageOffer : std::uint8_t { none, offered };

// Every route of the server with its description, and at /openapi.json the description of all of them.
[[nodiscard]] RouteTable make_routes(Apis apis, PageOffer page, std::int32_t vocabulary_size);

}  // namespace slora
