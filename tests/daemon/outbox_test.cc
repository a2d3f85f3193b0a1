#include "daemon/outbox.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "proto/reply_buffer.h"

using larder::daemon::Connection;
using larder::daemon::Outbox;
using larder::proto::ReplyBuffer;

namespace {

// The outbox only hands the pointer back.
Connection& connection(size_t number) { return *reinterpret_cast<Connection*>(number * 64); }

bool add(Outbox& outbox, size_t number, std::string_view text) {
  ReplyBuffer replies;
  replies.copy(text);
  return outbox.add(connection(number), replies.pieces(), replies.total_bytes());
}

}  // namespace

TEST_CASE("replies wait in order, each for its connection") {
  Outbox outbox;
  CHECK(add(outbox, 1, "STORED\r\n"));
  CHECK(add(outbox, 2, "END\r\n"));
  REQUIRE(outbox.entries().size() == 2);
  CHECK(outbox.entries()[0].connection == &connection(1));
  CHECK(outbox.entries()[0].bytes == "STORED\r\n");
  CHECK(outbox.entries()[1].connection == &connection(2));
  CHECK(outbox.entries()[1].bytes == "END\r\n");
  outbox.clear();
  CHECK(outbox.entries().empty());
}

TEST_CASE("what waits is bounded in replies and in bytes") {
  Outbox outbox;
  CHECK_FALSE(add(outbox, 1, std::string(Outbox::kMostBytesOfOne + 1, 'x')));
  CHECK(outbox.entries().empty());
  for (size_t i = 0; i < Outbox::kMostReplies; ++i) {
    CHECK_FALSE(outbox.full());
    REQUIRE(add(outbox, i + 1, "x"));
  }
  CHECK(outbox.full());
  CHECK_FALSE(add(outbox, 99, "x"));

  outbox.clear();
  size_t waiting = 0;
  while (add(outbox, 1, std::string(Outbox::kMostBytesOfOne, 'y'))) {
    waiting += Outbox::kMostBytesOfOne;
  }
  CHECK(waiting == Outbox::kMostBytes);
  CHECK((outbox.entries().back().bytes == std::string(Outbox::kMostBytesOfOne, 'y')));
}
