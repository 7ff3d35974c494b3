#pragma once
#include <string>

#include "base/result.h"
#include "ops/pooling.h"

namespace slora {

// How the model of a folder was trained to make embeddings: what sentence-transformers' 1_Pooling/config.json says, the last token's hidden
// state where there is no such file, and Pooling::none where the file names a way that is not served. Errors are those of
// read_json_file(), and E_BAD_JSON for a member of the wrong type.
[[nodiscard]] Result<Pooling> read_pooling_config(const std::string& folder);

}  // namespace slora
