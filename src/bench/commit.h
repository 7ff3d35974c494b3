#pragma once
#include <string_view>

namespace slora::bench {

// The commit that the program was built from: "1f0e...", with "-dirty" if files differed from it; "unknown" outside of a repository.
[[nodiscard]] std::string_view commit();

}  // namespace slora::bench
