#include "base/byte_budget.h"

#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

constexpr Timestamp kBetweenWarnings = std::chrono::seconds(10);

}  // namespace

ByteReservation ByteBudget::reservation_for(ClientId client) { return {this, client}; }

std::size_t ByteBudget::held_bytes() const {
  const std::lock_guard lock(mutex_);
  return held_bytes_;
}

std::size_t ByteBudget::held_bytes_of(ClientId client) const {
  const std::lock_guard lock(mutex_);
  const auto found = of_client_.find(client);
  return found == of_client_.end() ? 0 : found->second;
}

Status ByteBudget::take(ClientId client, std::size_t bytes, Growth growth) {
  const std::lock_guard lock(mutex_);
  const std::size_t free_bytes = bytes_max_ - held_bytes_;
  if (bytes > free_bytes) return refuse_all();
  std::size_t& of_client = of_client_[client];
  if (growth == Growth::new_work && of_client + bytes > free_bytes - bytes) {
    if (of_client == 0) {
      of_client_.erase(client);
      return refuse_all();
    }
    return error("queue_full", "Your requests hold {} bytes of the server's memory, as much as one client may now; try again later.",
                 of_client);
  }
  of_client += bytes;
  held_bytes_ += bytes;
  return {};
}

// Under the mutex.
tl::unexpected<Error> ByteBudget::refuse_all() {
  const Timestamp now = clock_.now();
  if (!option_.empty() && (warned_ == Timestamp{} || now - warned_ >= kBetweenWarnings)) {
    warned_ = now;
    log_warning("requests are refused for lack of memory: {} bytes of {}'s {} are held by requests of {} clients", held_bytes_, option_,
                bytes_max_, of_client_.size());
  }
  return error("out_of_memory", "The memory for requests is used up; try again later.");
}

void ByteBudget::give_back(ClientId client, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = of_client_.find(client);
  check(found != of_client_.end() && found->second >= bytes, "expected a reservation to give back what it holds");
  held_bytes_ -= bytes;
  found->second -= bytes;
  if (found->second == 0) of_client_.erase(found);
}

Status ByteReservation::grow_to(std::size_t bytes) {
  if (budget_ == nullptr || bytes <= bytes_) return {};
  if (bytes > budget_->bytes_max() / 2) {
    return error("request_too_large", "The request needs {} bytes of memory; the server has {} for all requests together.", bytes,
                 budget_->bytes_max());
  }
  Status taken = budget_->take(client_, bytes - bytes_, ByteBudget::Growth::new_work);
  if (taken) bytes_ = bytes;
  return taken;
}

Status ByteReservation::continue_to(std::size_t bytes) {
  if (budget_ == nullptr || bytes <= bytes_) return {};
  Status taken = budget_->take(client_, bytes - bytes_, ByteBudget::Growth::accepted_work);
  if (taken) bytes_ = bytes;
  return taken;
}

void ByteReservation::shrink_to(std::size_t bytes) noexcept {
  if (budget_ == nullptr || bytes >= bytes_) return;
  budget_->give_back(client_, bytes_ - bytes);
  bytes_ = bytes;
}

}  // namespace slora
