#include "base/byte_budget.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ByteBudget, GivesBackWhenAReservationDiesOrShrinks) {
  ByteBudget budget(100);
  {
    ByteReservation reservation = budget.reservation_for(ClientId{1});
    EXPECT_TRUE(reservation.grow_to(40));
    EXPECT_TRUE(reservation.grow_to(30)) << "it holds that already";
    EXPECT_EQ(budget.held_bytes(), 40u);
    reservation.shrink_to(10);
    EXPECT_EQ(budget.held_bytes_of(ClientId{1}), 10u);
    const ByteReservation moved = std::move(reservation);
    EXPECT_EQ(moved.bytes(), 10u);
    EXPECT_EQ(budget.held_bytes(), 10u);
  }
  EXPECT_EQ(budget.held_bytes(), 0u);
}

TEST(ByteBudget, LeavesForOthersAsMuchAsAClientHolds) {
  ByteBudget budget(100);
  ByteReservation greedy = budget.reservation_for(ClientId{1}), again = budget.reservation_for(ClientId{1});
  EXPECT_TRUE(greedy.grow_to(50));
  EXPECT_EQ(again.grow_to(1).error().code, "queue_full");
  ByteReservation second = budget.reservation_for(ClientId{2});
  EXPECT_TRUE(second.grow_to(25));
  EXPECT_EQ(second.grow_to(26).error().code, "queue_full");
  ByteReservation third = budget.reservation_for(ClientId{3});
  EXPECT_TRUE(third.grow_to(12));
}

TEST(ByteBudget, LetsAcceptedWorkUseWhatIsKeptForNewClients) {
  ByteBudget budget(100);
  ByteReservation reservation = budget.reservation_for(ClientId{1});
  EXPECT_TRUE(reservation.grow_to(50));
  EXPECT_TRUE(reservation.continue_to(100));
  EXPECT_EQ(reservation.continue_to(101).error().code, "out_of_memory");
  ByteReservation other = budget.reservation_for(ClientId{2});
  EXPECT_EQ(other.grow_to(1).error().code, "out_of_memory");
  EXPECT_EQ(reservation.bytes(), 100u);
}

TEST(ByteBudget, RefusesWhatNeverFits) {
  ByteBudget budget(100);
  ByteReservation reservation = budget.reservation_for(ClientId{1});
  EXPECT_EQ(reservation.grow_to(51).error().code, "request_too_large");
  EXPECT_EQ(budget.held_bytes(), 0u);
}

TEST(ByteBudget, AReservationWithoutABudgetIsNeverRefused) {
  ByteReservation reservation;
  EXPECT_TRUE(reservation.grow_to(std::size_t{1} << 40));
  EXPECT_EQ(reservation.bytes(), 0u);
}

TEST(ByteBudget, WorkOfTheServerCountsInAllButAgainstNoClient) {
  ByteBudget budget(100);
  ByteReservation reservation = budget.reservation_for(ClientId{1});
  EXPECT_TRUE(reservation.grow_to(10));
  ByteReservation work = reservation.sibling_of_nobody();
  EXPECT_TRUE(work.continue_to(60));
  EXPECT_EQ(budget.held_bytes(), 70u);
  EXPECT_EQ(budget.held_bytes_of(ClientId{1}), 10u);
  EXPECT_TRUE(reservation.grow_to(20));
}

}  // namespace
}  // namespace slora
