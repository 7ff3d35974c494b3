#pragma once
#include <functional>
#include <string>

#include "formats/json.h"

namespace slora::bench {

// Calls take(object) for each line of a file of JSON objects, one a line, until one fails; empty lines are skipped. Reads piece by piece,
// so that logs may be larger than memory. Errors name the file and the line.
[[nodiscard]] Status read_json_lines(const std::string& path, const std::function<Status(const Json& object)>& take);

}  // namespace slora::bench
