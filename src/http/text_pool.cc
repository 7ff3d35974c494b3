#include "http/text_pool.h"

#include <sys/resource.h>
#include <unistd.h>

namespace slora {
namespace {

constexpr TurnPool::Limits kLong{
    .thread_count = 1, .waiting_max = 256, .waiting_of_client_max = 64};  // each holds a body of up to some megabytes
constexpr int kLongNiceness = 10;

// If it is refused, long bodies take their full share of time.
void run_below_others() { (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLongNiceness); }

}  // namespace

TextPool::TextPool(std::size_t thread_count)
    : short_({.thread_count = thread_count, .waiting_max = 1024, .waiting_of_client_max = 512}), long_(kLong, run_below_others) {}

}  // namespace slora
