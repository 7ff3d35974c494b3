#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace slora {

void fail_check(std::string_view what, std::source_location where) {
  std::fprintf(stderr, "%s:%u: bug: %.*s\n", where.file_name(), static_cast<unsigned>(where.line()), static_cast<int>(what.size()),
               what.data());
  std::abort();
}

}  // namespace slora
