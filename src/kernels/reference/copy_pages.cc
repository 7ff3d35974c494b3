#include "kernels/reference/copy_pages.h"

#include <cstring>

namespace slora::reference {

void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) {
  for (const PageCopy& copy : copies) std::memmove(base + copy.to.value * page_bytes, base + copy.from.value * page_bytes, page_bytes);
}

}  // namespace slora::reference
