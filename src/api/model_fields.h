#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kAdapterNameBytesMax = 4096;  // it may be a folder
inline constexpr std::size_t kBlendAdaptersMax = 16;
inline constexpr double kBlendWeightMax = 1000;

// The fields that select a model: how every other server's clients name an adapter. None of them is ever ignored: it is followed where its
// meaning is exact here, and refused by name otherwise. The names are in request_table.cc; values are not null here.

// The base model or an adapter by its name, or a list of one.
Status read_model(RequestSpec& spec, const std::string& place, const Json& value);
Json model_schema();
// An adapter apart from the model: its name; an object with its name; or a list, whose entries are equal. Objects with a weight, or
// different ones, are a blend: the weighted sum of what the adapters change. What they name is looked up among the adapters that are
// served; no path is opened.
Status read_adapter(RequestSpec& spec, const std::string& place, const Json& value);
Json adapter_schema();
// Selects adapters in a way that is not served.
Status read_unserved_adapter(RequestSpec& spec, const std::string& place, const Json& value);
Json unserved_adapter_schema();

// Refuses a field that no endpoint knows where its name, or that of a member at any depth, says that it selects an adapter: "loraPath", or
// "extra_body" with "adapter_id" in it; and "model" as a member of such a field itself. Clients' own labels, "metadata", may have any
// names.
Status check_unknown_field(const std::string& place, std::string_view name, const Json& value);
// The members of a body that select a model, or may.
[[nodiscard]] Json model_members(const Json& body);
// Reads those alone, for endpoints that have no other field of the table.
[[nodiscard]] Result<RequestSpec> read_model_choice(const Json& body);

}  // namespace slora
