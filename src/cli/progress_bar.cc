#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace slora {

std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total, std::size_t width) {
  const double share = total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
  return fmt::format("{} [{}{}] {:3.0f} %", what, std::string(filled, '#'), std::string(width - filled, '-'), share * 100);
}

ProgressBar::ProgressBar() : is_terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (is_shown_) fmt::print(stderr, "\r\033[K");
}

void ProgressBar::show(std::string_view what, std::uint64_t done, std::uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (!is_terminal_ || (done < total && now - last_ < std::chrono::milliseconds(100))) return;
  last_ = now;
  is_shown_ = true;
  fmt::print(stderr, "\r\033[K{}", progress_line(what, done, total, 30));
  std::fflush(stderr);
}

}  // namespace slora
