# Seeded bugs. A module lists places of its sources, each with what replaces it and the names of the bugs that this makes possible; at build
# time the sources are copied with the replacements put in, and a program that runs one of the bugs, by name, links the copies in front of
# their libraries, so that neither the sources nor the libraries know of it.
#
# slora_mutate(FILE "what stands there, exactly once" "what replaces it" NAME...)
#   FILE below src/; the replacement asks mutant_is("name"). Adds the names to slora_mutant_names.
# slora_mutated_sources(VARIABLE)
#   Sets VARIABLE to the copies of all FILEs so far. They lie below ${CMAKE_CURRENT_BINARY_DIR}/mutants/src as the files do below src/: that
#   folder must come first in the include path where headers are among them.
# slora_mutant_tests(PROGRAM PREFIX)
#   Adds a test for each of slora_mutant_names, which runs PROGRAM NAME FILE. The target `mutants` builds all such programs; `ctest` builds it
#   when a test of them runs; `all` does not.
set(slora_mutated_files "")
set(slora_mutant_names none)

function(slora_mutate file original replacement)
  string(REPLACE "/" "_" key "${file}")
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/mutants/${key}")
  set(index "${slora_mutation_count_${key}}")
  if(index STREQUAL "")
    set(index 0)
    set(slora_mutated_files ${slora_mutated_files} ${file} PARENT_SCOPE)
  endif()
  list(JOIN ARGN " " names)
  file(GENERATE OUTPUT "${folder}/${index}.original" CONTENT "${original}")
  file(GENERATE OUTPUT "${folder}/${index}.replacement" CONTENT "${replacement}")
  file(GENERATE OUTPUT "${folder}/${index}.names" CONTENT "${names}")
  set(slora_mutation_files_${key} ${slora_mutation_files_${key}} "${folder}/${index}.original" "${folder}/${index}.replacement"
    "${folder}/${index}.names" PARENT_SCOPE)
  math(EXPR index "${index} + 1")
  set(slora_mutation_count_${key} ${index} PARENT_SCOPE)
  set(slora_mutant_names ${slora_mutant_names} ${ARGN} PARENT_SCOPE)
  foreach(name IN LISTS ARGN)
    set(slora_mutant_file_${name} ${file} PARENT_SCOPE)
  endforeach()
endfunction()

function(slora_mutated_sources variable)
  set(mutated "")
  foreach(file IN LISTS slora_mutated_files)
    string(REPLACE "/" "_" key "${file}")
    set(source "${CMAKE_SOURCE_DIR}/src/${file}")
    set(output "${CMAKE_CURRENT_BINARY_DIR}/mutants/src/${file}")
    add_custom_command(OUTPUT "${output}"
      COMMAND ${CMAKE_COMMAND} "-DSOURCE=${source}" "-DFOLDER=${CMAKE_CURRENT_BINARY_DIR}/mutants/${key}" "-DOUTPUT=${output}"
        "-DCOUNT=${slora_mutation_count_${key}}" -P "${CMAKE_SOURCE_DIR}/cmake/mutate.cmake"
      DEPENDS "${source}" ${slora_mutation_files_${key}} "${CMAKE_SOURCE_DIR}/cmake/mutate.cmake"
      VERBATIM)
    list(APPEND mutated "${output}")
  endforeach()
  set(${variable} ${mutated} PARENT_SCOPE)
endfunction()

function(slora_mutant_tests program prefix)
  if(NOT TARGET mutants)
    add_custom_target(mutants)
    add_test(NAME BuildMutants COMMAND ${CMAKE_COMMAND} --build "${CMAKE_BINARY_DIR}" --target mutants)
    set_tests_properties(BuildMutants PROPERTIES FIXTURES_SETUP mutants TIMEOUT 1500)
  endif()
  add_dependencies(mutants ${program})
  list(REMOVE_DUPLICATES slora_mutant_names)
  foreach(name IN LISTS slora_mutant_names)
    add_test(NAME ${prefix}.${name} COMMAND ${program} ${name} ${slora_mutant_file_${name}})
    set_tests_properties(${prefix}.${name} PROPERTIES FIXTURES_REQUIRED mutants TIMEOUT 120)
  endforeach()
endfunction()
