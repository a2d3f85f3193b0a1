#include "daemon/space_saving.h"

#include <catch2/catch.hpp>
#include <map>
#include <new>
#include <random>

#include "tests/support/failing_allocations.h"

namespace larder::daemon {
namespace {

// Counts the same things exactly.
struct Model {
  std::map<uint64_t, double> counts;
  double total = 0;

  void halve() {
    for (auto& [hash, count] : counts) count /= 2;
    total /= 2;
  }
};

constexpr double kRounding = 0.1;  // of some halvings, in things

void check_bounds(const SpaceSaving& counts, const std::map<uint64_t, uint32_t>& slots,
                  Model& model) {
  double least = 1e9;
  for (uint32_t slot = 0; slot < counts.size(); ++slot) {
    least = std::min(least, counts.count_of(slot));
  }
  for (const auto& [hash, slot] : slots) {
    const double truth = model.counts[hash];
    CHECK(counts.count_of(slot) + kRounding >= truth);
    CHECK(counts.count_of(slot) - counts.error_of(slot) - kRounding <= truth);
  }
  for (const auto& [hash, truth] : model.counts) {
    if (!slots.contains(hash)) CHECK(truth <= least + kRounding);
  }
  CHECK(counts.total() == Approx(model.total).margin(1));
}

TEST_CASE("every count is within its bounds, and what is left out came no more often than any") {
  for (const unsigned seed : {1u, 2u, 3u}) {
    std::mt19937_64 random(seed);
    SpaceSaving counts(32);
    std::map<uint64_t, uint32_t> slots;
    Model model;
    for (int i = 1; i <= 20'000; ++i) {
      const double uniform = std::uniform_real_distribution<>(0, 1)(random);
      const auto hash = static_cast<uint64_t>(1.0 / (uniform + 1e-4));  // few often, many seldom
      const SpaceSaving::Place place = counts.count(hash);
      if (place.fresh) {
        std::erase_if(slots, [&](const auto& entry) { return entry.second == place.slot; });
        slots[hash] = place.slot;
      }
      REQUIRE(slots.at(hash) == place.slot);
      ++model.counts[hash];
      ++model.total;
      if (i % 5000 == 0) {
        check_bounds(counts, slots, model);
        counts.halve();
        model.halve();
        check_bounds(counts, slots, model);
      }
    }
    CHECK(counts.size() == 32);
  }
}

TEST_CASE("as long as there is room counts are exact") {
  SpaceSaving counts(4);
  for (int i = 0; i < 10; ++i) counts.count(7);
  for (int i = 0; i < 3; ++i) counts.count(8);
  CHECK(counts.size() == 2);
  CHECK(counts.count_of(0) == 10);
  CHECK(counts.count_of(1) == 3);
  CHECK(counts.error_of(0) == 0);
  CHECK(counts.total() == 13);
  counts.clear();
  CHECK(counts.size() == 0);
  CHECK(counts.count(9).fresh);
}

TEST_CASE("what comes new takes the slot of the least, and its count for an error") {
  SpaceSaving counts(2);
  for (int i = 0; i < 5; ++i) counts.count(1);
  for (int i = 0; i < 2; ++i) counts.count(2);
  const SpaceSaving::Place place = counts.count(3);
  CHECK(place.fresh);
  CHECK(place.slot == 1);
  CHECK(counts.count_of(1) == 3);
  CHECK(counts.error_of(1) == 2);
}

}  // namespace

TEST_CASE("a thing for which there was no memory is in no slot") {
  SpaceSaving things(4);
  (void)things.count(1);
  bool thrown = false;
  {
    const test::FailingAllocations none;
    try {
      (void)things.count(2);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  REQUIRE(thrown);
  CHECK(things.size() == 1);
  CHECK(things.total() == 1);
  for (uint64_t hash = 3; hash < 20; ++hash) CHECK(things.count(hash).fresh);
  CHECK(things.size() == 4);
}

}  // namespace larder::daemon