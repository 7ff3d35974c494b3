# Writes OUTPUT, a header with the commit of SOURCE ("-dirty" when files differ from it), or "unknown" outside of a repository.
set(ENV{GIT_OPTIONAL_LOCKS} 0)
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "#pragma once\n\ninline constexpr char kCommit[] = \"${commit}\";\n")
