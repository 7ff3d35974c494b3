# cmake -DFOLDER=... -DOUT=x.cc -P page_table.cmake: writes the files of FOLDER as the table of src/http/page_files.h. Run by the build when
# one of them has changed. The page is part of every answer to a browser's first visit and of the program, so its size is bounded.
set(bytes_max 61440)
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

file(GLOB files RELATIVE "${FOLDER}" "${FOLDER}/*.*")
list(SORT files)
set(arrays "")
set(rows "")
set(bytes 0)
foreach(name IN LISTS files)
  get_filename_component(extension "${name}" LAST_EXT)
  string(SUBSTRING "${extension}" 1 -1 extension)
  if(NOT DEFINED type_${extension})
    message(FATAL_ERROR "${FOLDER}/${name}: expected a file of html, css, js or svg")
  endif()
  file(SIZE "${FOLDER}/${name}" size)
  math(EXPR bytes "${bytes} + ${size}")
  file(SHA256 "${FOLDER}/${name}" digest)
  string(SUBSTRING "${digest}" 0 16 tag)
  file(READ "${FOLDER}/${name}" hex HEX)
  string(REGEX REPLACE "(................................................)" "\\1\n    " hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(MAKE_C_IDENTIFIER "${name}" identifier)
  string(APPEND arrays "constexpr unsigned char ${identifier}[] = {\n    ${hex}0};\n")
  string(APPEND rows "      {\"${name}\", \"${type_${extension}}\", R\"(\"${tag}\")\", text_of(${identifier})},\n")
endforeach()
if(bytes GREATER bytes_max)
  message(FATAL_ERROR "the page in ${FOLDER} has ${bytes} bytes: expected at most ${bytes_max}")
endif()
file(WRITE "${OUT}" "// Made by cmake/page_table.cmake.
#include \"http/page_files.h\"

#include <array>
#include <cstddef>

namespace slora {
namespace {

${arrays}
// Without the zero that ends each array.
template <std::size_t size>
std::string_view text_of(const unsigned char (&bytes)[size]) {
  return {reinterpret_cast<const char*>(bytes), size - 1};
}

}  // namespace

std::span<const PageFile> page_files() {
  static const std::array files = std::to_array<PageFile>({
${rows}  });
  return files;
}

}  // namespace slora
")
