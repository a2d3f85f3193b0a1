#include "core/retire_queue.h"

#include <catch2/catch.hpp>

#include <deque>
#include <new>
#include <random>

#include "tests/support/failing_allocations.h"

using larder::core::Ref;
using larder::core::RetireQueue;
using larder::test::FailingAllocations;

TEST_CASE("what waits in the retire queue stays in its place however much joins it") {
  RetireQueue queue;
  queue.push({1, 1});
  const RetireQueue::Entry* const oldest = &queue.front();
  for (Ref ref = 2; ref <= 1'000'000; ++ref) {
    queue.push({ref, ref});
    if (&queue.front() != oldest) FAIL("the oldest entry was moved by push " << ref);
  }
  CHECK(queue.size() == 1'000'000);
  for (Ref ref = 1; ref <= 1'000'000; ++ref) {
    if (queue.front().ref != ref) FAIL("entry " << ref << " is " << queue.front().ref);
    queue.pop();
  }
  CHECK(queue.empty());
}

TEST_CASE("the retire queue gives back what came first, across all its blocks") {
  RetireQueue queue;
  std::deque<Ref> model;
  std::mt19937 random(1);
  Ref next = 0;
  for (int round = 0; round < 2'000; ++round) {
    for (uint32_t n = random() % 1'000; n > 0; --n) {
      queue.push({++next, next});
      model.push_back(next);
    }
    const size_t most = round % 100 == 99 ? model.size() : random() % 1'000;
    for (size_t n = std::min(most, model.size()); n > 0; --n) {
      if (queue.front().ref != model.front()) FAIL(queue.front().ref << " before its turn");
      queue.pop();
      model.pop_front();
    }
    REQUIRE(queue.size() == model.size());
    REQUIRE(queue.empty() == model.empty());
  }
}

TEST_CASE("after prepare() as many entries as it says join the retire queue without memory") {
  // How many find no memory.
  const auto push_without_memory = [](RetireQueue& queue, Ref first, Ref end) {
    const FailingAllocations none;
    try {
      for (; first < end; ++first) queue.push({first, 0});
    } catch (const std::bad_alloc&) {
    }
    return end - first;
  };
  for (Ref ahead = 0; ahead < 2 * RetireQueue::kPreparedEntries; ahead += 3) {
    RetireQueue queue;
    REQUIRE(push_without_memory(queue, 0, ahead) == 0);
    queue.prepare();
    const Ref end = ahead + RetireQueue::kPreparedEntries;
    REQUIRE(push_without_memory(queue, ahead, end) == 0);
    const Ref missed = push_without_memory(queue, end, end + 10'000);
    REQUIRE(missed > 0);
    REQUIRE(queue.size() == end + 10'000 - missed);
    queue.prepare();
    queue.push({queue.size(), 0});
    for (Ref ref = 0; !queue.empty(); ++ref) {
      if (queue.front().ref != ref) FAIL("entry " << ref << " is " << queue.front().ref);
      queue.pop();
    }
  }
}
