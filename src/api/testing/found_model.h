#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/request_preparer.h"

namespace slora {

// The model of a body, after looks at its adapters, which are appended to `looked_at`.
inline Result<FoundModel> found_model(const RequestPreparer& preparer, const Json& body, const ModelAccess& access,
                                      std::vector<std::string>& looked_at) {
  std::optional<Result<FoundModel>> later;
  const auto await = [&](const std::vector<std::string>& adapters, const std::function<void(Status)>& go_on) {
    looked_at.insert(looked_at.end(), adapters.begin(), adapters.end());
    preparer.await_adapters(adapters, [&] { go_on({}); });
  };
  std::optional<Result<FoundModel>> now =
      preparer.find_model_of(body, access, await, [&](Result<FoundModel> model) { later = std::move(model); });
  return now ? std::move(*now) : std::move(*later);
}

}  // namespace slora
