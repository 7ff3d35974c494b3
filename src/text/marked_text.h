#pragma once
#include <string>
#include <vector>

#include "text/utf8.h"

namespace slora {

// A rendered conversation, and where the template writes what an assistant says.
struct MarkedText {
  std::string text;
  std::vector<TextRange> answers;  // what {% generation %} blocks wrote, in order; without the blocks inside such a block
  bool has_marks = false;          // the template has such blocks
};

}  // namespace slora
