// Preloaded into a server (LD_PRELOAD): its wall clock is ahead by as many seconds as the file SLORA_CLOCK_OFFSET says, 8 bytes of an
// integer, at any time. The steady clock is the system's.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

const volatile std::int64_t* map_offset() {
  const char* const path = std::getenv("SLORA_CLOCK_OFFSET");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY);
  void* const mapped = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) std::abort();
  close(file);
  return static_cast<const volatile std::int64_t*>(mapped);
}

std::int64_t offset_seconds() {
  static const volatile std::int64_t* const offset = map_offset();
  return *offset;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long failed = syscall(SYS_clock_gettime, clock, now);
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset_seconds();
  return static_cast<int>(failed);
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec exact{};
  const int failed = clock_gettime(CLOCK_REALTIME, &exact);
  *now = {exact.tv_sec, exact.tv_nsec / 1000};
  return failed;
}

extern "C" time_t time(time_t* out) noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}
