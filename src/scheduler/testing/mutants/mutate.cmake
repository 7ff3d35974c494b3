# cmake -DSOURCE=x.cc -DFOLDER=DIR -DOUTPUT=DIR/x.cc -DCOUNT=N -P mutate.cmake
# Writes OUTPUT: SOURCE with each of the N places of FOLDER replaced. A place that does not stand in it exactly once is left out and
# registered as stale, so that its tests fail and everything else goes on.
file(READ "${SOURCE}" text)
set(stale "")
math(EXPR last "${COUNT} - 1")
foreach(index RANGE ${last})
  file(READ "${FOLDER}/${index}.original" original)
  file(READ "${FOLDER}/${index}.replacement" replacement)
  file(READ "${FOLDER}/${index}.names" names)
  string(FIND "${text}" "${original}" first)
  string(FIND "${text}" "${original}" last_found REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last_found)
    string(APPEND stale "const slora::StaleMutant stale_${index}(\" ${names} \", R\"place(${original})place\");\n")
  else()
    string(REPLACE "${original}" "${replacement}" text "${text}")
  endif()
endforeach()
file(WRITE "${OUTPUT}" "#include \"scheduler/testing/mutants/active_mutant.h\"\n#line 1 \"${SOURCE}\"\n${text}\nnamespace {\n${stale}}  // namespace\n")
