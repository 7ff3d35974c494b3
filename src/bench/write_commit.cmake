# Writes OUTPUT, the definition of bench/commit.h for the repository SOURCE.
set(ENV{GIT_OPTIONAL_LOCKS} 0)
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT
"#include \"bench/commit.h\"

namespace slora::bench {

std::string_view commit() { return \"${commit}\"; }

}  // namespace slora::bench
")
