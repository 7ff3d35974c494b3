#include "http/mailbox.h"

#include <gtest/gtest.h>

#include <new>

namespace slora {
namespace {

TEST(Mailbox, RunsInOrderWhatWasHandedOver) {
  Mailbox mailbox(2);
  std::string done;
  EXPECT_TRUE(mailbox.push([&] {
    done += 'a';
    mailbox.push([&] { done += 'd'; });
  }));
  EXPECT_FALSE(mailbox.push([&] { done += 'b'; }));
  EXPECT_FALSE(mailbox.push([&] { done += 'c'; }));
  mailbox.run_all();
  EXPECT_EQ(done, "abc");
  mailbox.run_all();
  EXPECT_EQ(done, "abcd");
}

TEST(Mailbox, AnExceptionEndsOnlyTheWorkThatThrew) {
  Mailbox mailbox(2);
  bool is_done = false;
  mailbox.push([] { throw std::bad_alloc(); });
  mailbox.push([&] { is_done = true; });
  mailbox.run_all();
  EXPECT_TRUE(is_done);
}

}  // namespace
}  // namespace slora
