#include "daemon/event_ring.h"

#include <catch2/catch.hpp>
#include <deque>
#include <random>
#include <string>

using namespace larder::daemon;

namespace {

Event numbered(uint64_t gid) {
  Event event;
  event.gid = gid;
  return event;
}

}  // namespace

TEST_CASE("a ring gives back what was written, in order, with its text") {
  EventRing ring(1024);
  CHECK(ring.front().event == nullptr);
  Event event = numbered(7);
  event.kind = EventKind::Eviction;
  event.ttl_seconds = -1;
  event.value_bytes = 42;
  REQUIRE(ring.write(event, "key"));
  REQUIRE(ring.write(numbered(8), ""));

  CHECK(ring.front().event->gid == 7);
  CHECK(ring.front().event->kind == EventKind::Eviction);
  CHECK(ring.front().event->ttl_seconds == -1);
  CHECK(ring.front().event->value_bytes == 42);
  CHECK(ring.front().text == "key");
  ring.pop();
  CHECK(ring.front().event->gid == 8);
  CHECK(ring.front().text.empty());
  ring.pop();
  CHECK(ring.front().event == nullptr);
  CHECK(ring.written().get() == 2);
  CHECK(ring.dropped().get() == 0);
}

TEST_CASE("a full ring drops what comes, counts it, and takes more once it is read") {
  EventRing ring(4 * sizeof(Event));
  for (uint64_t gid = 1; gid <= 4; ++gid) REQUIRE(ring.write(numbered(gid), ""));
  CHECK_FALSE(ring.write(numbered(5), ""));
  CHECK_FALSE(ring.write(numbered(6), ""));
  CHECK(ring.written().get() == 4);
  CHECK(ring.dropped().get() == 2);
  ring.pop();
  REQUIRE(ring.write(numbered(7), ""));
  for (const uint64_t gid : {2, 3, 4, 7}) {
    REQUIRE(ring.front().event != nullptr);
    CHECK(ring.front().event->gid == gid);
    ring.pop();
  }
  CHECK(ring.front().event == nullptr);
}

TEST_CASE("a ring without room for one record drops all") {
  for (const size_t bytes : {size_t{0}, size_t{8}, sizeof(Event)}) {
    EventRing ring(bytes);
    CHECK_FALSE(ring.write(numbered(1), "key"));
    CHECK(ring.front().event == nullptr);
    CHECK(ring.dropped().get() == 1);
  }
}

TEST_CASE("records of all lengths go through rings of all lengths, around the end too") {
  std::mt19937 random(1);
  for (const size_t bytes : {size_t{320}, size_t{328}, size_t{1000}, size_t{4096}}) {
    EventRing ring(bytes);
    std::deque<std::string> expected;
    uint64_t written = 0;
    uint64_t read = 0;
    uint64_t dropped = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (random() % 2 == 0) {
        const std::string text(random() % (Event::kMaxTextBytes + 1),
                               static_cast<char>('a' + step % 26));
        if (ring.write(numbered(++written), text)) {
          expected.push_back(text);
        } else {
          ++dropped;
          --written;
        }
      } else {
        const EventRing::Record record = ring.front();
        REQUIRE((record.event == nullptr) == expected.empty());
        if (record.event == nullptr) continue;
        REQUIRE(record.event->gid == ++read);
        REQUIRE(record.text == expected.front());
        expected.pop_front();
        ring.pop();
      }
    }
    CHECK(ring.written().get() == written);
    CHECK(ring.dropped().get() == dropped);
    CHECK(read > 1000);
  }
}
