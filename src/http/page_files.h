#pragma once
#include <span>
#include <string_view>

namespace slora {

// A file of the page, from the folder page/. The table is made when the program is built (cmake/page_table.cmake).
struct PageFile {
  std::string_view name;          // "index.html"
  std::string_view content_type;  // "text/html; charset=utf-8"
  std::string_view entity_tag;    // of the bytes, in quotes
  std::string_view bytes;
};

[[nodiscard]] std::span<const PageFile> page_files();

}  // namespace slora
