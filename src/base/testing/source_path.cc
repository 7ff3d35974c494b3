#include "base/testing/source_path.h"

namespace slora {

// The only place that knows where the sources lie, so that every other object is the same in every checkout and ccache finds it.
std::string source_path(std::string_view relative) { return std::string(SLORA_SOURCE_DIR) + "/" + std::string(relative); }

}  // namespace slora
