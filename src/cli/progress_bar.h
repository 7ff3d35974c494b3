#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace slora {

// Progress of long work on standard error, when that is a terminal; silent otherwise. Not for several threads at once.
class ProgressBar {
 public:
  ProgressBar();
  // Clears its line.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::string_view what, std::uint64_t done, std::uint64_t total);

 private:
  const bool is_terminal_;
  bool is_shown_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// "Loading weights [#####-----] 50 %", `width` characters of bar.
[[nodiscard]] std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total, std::size_t width);

}  // namespace slora
