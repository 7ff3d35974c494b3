#include "base/check.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace slora {
namespace {

constexpr std::size_t kThreadNameMax = 16;  // bytes that Linux keeps

}  // namespace

// Threads other than the main one are named: a shard's is "shard 1".
void fail_check(std::string_view what, std::source_location where) {
  char thread[kThreadNameMax] = "";
  if (gettid() != getpid()) pthread_getname_np(pthread_self(), thread, sizeof thread);
  const bool is_named = thread[0] != '\0';
  std::fprintf(stderr, "%s:%u: bug: %.*s%s%s%s\n", where.file_name(), static_cast<unsigned>(where.line()), static_cast<int>(what.size()),
               what.data(), is_named ? " [thread " : "", thread, is_named ? "]" : "");
  std::abort();
}

}  // namespace slora
