# cmake -DOUTPUT=x.cc -DROOT=SRC "-DHEADERS=a.h;b.h" "-DBUILD=text" -P build_id.cmake
# Writes OUTPUT, which defines slora::build_id(): a digest of the headers and of BUILD, and BUILD itself.
list(SORT HEADERS)
set(all "${BUILD}")
foreach(header IN LISTS HEADERS)
  file(SHA256 "${ROOT}/${header}" digest)
  string(APPEND all "\n${header} ${digest}")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING "${digest}" 0 16 digest)
file(WRITE "${OUTPUT}" "#include \"backend/device_module.h\"\n
std::string_view slora::build_id() { return R\"id(${digest}, ${BUILD})id\"; }\n")
