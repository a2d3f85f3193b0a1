#include "daemon/buffer_budget.h"

#include <catch2/catch.hpp>
#include <memory>
#include <new>
#include <random>
#include <vector>

using larder::daemon::BufferBudget;
using larder::daemon::BufferClaim;
using larder::daemon::Connection;

namespace {

// Is never looked at: an address.
Connection* client(uintptr_t number) { return reinterpret_cast<Connection*>(number); }

}  // namespace

TEST_CASE("a claim that finds room is admitted whole") {
  BufferBudget budget(100, 1, nullptr);
  BufferClaim large;
  large.take(budget, 0, client(1), 1'000);
  CHECK(budget.used() == 1'000);
  CHECK_FALSE(budget.has_condemned(0));
  large.release();
  CHECK(budget.used() == 0);
}

TEST_CASE("when the budget is used up, the claim goes that made no progress for longest") {
  BufferBudget budget(100, 1, nullptr);
  BufferClaim first, second, third;
  first.take(budget, 0, client(1), 50);
  second.take(budget, 0, client(2), 50);
  first.give_back(1);  // progress
  REQUIRE(budget.used() == 99);
  third.take(budget, 0, client(3), 10);
  REQUIRE_FALSE(budget.has_condemned(0));
  BufferClaim fourth;
  fourth.take(budget, 0, client(4), 10);
  REQUIRE(budget.has_condemned(0));
  CHECK(budget.used() == 69);
  CHECK(budget.next_condemned(0) == client(2));
  CHECK(budget.next_condemned(0) == nullptr);
  CHECK_FALSE(budget.has_condemned(0));
  // Its bytes count no more, whatever becomes of it.
  second.give_back(10);
  second.release();
  CHECK(budget.used() == 69);
}

TEST_CASE("the worker of a condemned claim is woken, unless it is the one that asks") {
  std::vector<uint32_t> woken;
  BufferBudget budget(10, 3, [&](uint32_t worker) { woken.push_back(worker); });
  BufferClaim own, other, asks;
  own.take(budget, 0, client(1), 5);
  other.take(budget, 2, client(2), 5);
  asks.take(budget, 0, client(3), 20);
  CHECK(woken.empty());
  CHECK(budget.next_condemned(0) == client(1));
  BufferClaim more;
  more.take(budget, 0, client(4), 1);
  CHECK(woken == std::vector<uint32_t>{2});
  CHECK(budget.next_condemned(2) == client(2));
  CHECK(budget.next_condemned(1) == nullptr);
}

TEST_CASE("a claim that goes before its connection is closed is off every list") {
  BufferBudget budget(1, 1, [](uint32_t) { throw std::bad_alloc(); });
  auto condemned = std::make_unique<BufferClaim>();
  condemned->take(budget, 0, client(1), 5);
  BufferClaim other;
  other.take(budget, 0, client(2), 5);
  REQUIRE(budget.has_condemned(0));
  condemned.reset();
  CHECK_FALSE(budget.has_condemned(0));
  CHECK(budget.next_condemned(0) == nullptr);
  CHECK(budget.used() == 5);
}

TEST_CASE("what is charged is never condemned, and has nobody else condemned") {
  BufferBudget budget(10, 1, nullptr);
  BufferClaim small, large, other;
  small.charge(budget, 50);
  CHECK(budget.used() == 50);
  large.take(budget, 0, client(1), 5);
  other.take(budget, 0, client(2), 1);
  CHECK_FALSE(budget.has_condemned(0));
  small.give_back(20);
  CHECK(budget.used() == 36);
  small.release();
  CHECK(budget.used() == 6);
}

TEST_CASE("a client's second claim does not condemn its first") {
  BufferBudget budget(10, 1, nullptr);
  BufferClaim first, second, other;
  first.take(budget, 0, client(1), 20);
  second.take(budget, 0, client(1), 20);
  CHECK_FALSE(budget.has_condemned(0));
  other.take(budget, 0, client(2), 1);
  CHECK(budget.next_condemned(0) == client(1));
}

TEST_CASE("random claims leave nothing behind") {
  std::mt19937 random(17);
  BufferBudget budget(1'000, 4, [](uint32_t) {});
  {
    std::vector<std::unique_ptr<BufferClaim>> claims(40);
    for (int i = 0; i < 100'000; ++i) {
      const size_t at = random() % claims.size();
      std::unique_ptr<BufferClaim>& claim = claims[at];
      if (claim == nullptr) {
        claim = std::make_unique<BufferClaim>();
        claim->take(budget, at % 4, client(at + 1), random() % 300);
      } else if (random() % 2 == 0) {
        claim->give_back(random() % (claim->bytes() + 1));
      } else {
        claim.reset();
      }
      const uint32_t worker = random() % 4;
      while (Connection* const gone = budget.next_condemned(worker)) {
        const size_t closed = reinterpret_cast<uintptr_t>(gone) - 1;
        REQUIRE(claims[closed] != nullptr);
        REQUIRE(closed % 4 == worker);
        claims[closed].reset();
      }
      REQUIRE(budget.used() <= 1'300);
    }
  }
  CHECK(budget.used() == 0);
}
