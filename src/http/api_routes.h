#pragma once
#include <cstdint>

#include "http/adapter_api.h"
#include "http/generation_api.h"
#include "http/info_api.h"
#include "http/routes.h"
#include "http/status_api.h"
#include "http/tokenize_api.h"

namespace slora {

// The handlers of the routes. All outlive the table.
struct Apis {
  GenerationApi& generation;
  TokenizeApi& tokenize;
  StatusApi& status;
  InfoApi& info;
  AdapterApi& adapters;
};

// Every route of the server with its description, and at /openapi.json the description of all of them.
[[nodiscard]] RouteTable make_routes(Apis apis, std::int32_t vocabulary_size);

}  // namespace slora
