#include "tools/bench/popularity.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

using namespace larder::bench;

namespace {

std::vector<int> draws(const char* popularity, uint64_t keys, int count) {
  KeyOrder order(Popularity::parse(popularity), keys, 0, 1);
  KeyPicker picker(order, 2);
  std::vector<int> seen(keys);
  for (int i = 0; i < count; ++i) ++seen.at(picker.next());
  return seen;
}

}  // namespace

TEST_CASE("uniform draws each key as often") {
  for (const int n : draws("uniform", 100, 1'000'000)) CHECK(n == Approx(10'000).epsilon(0.06));
}

TEST_CASE("zipf draws keys in proportion to their rank to the minus skew") {
  for (const double skew : {0.5, 0.99, 1.0, 1.3}) {
    const int count = 1'000'000;
    const auto seen = draws(("zipf:" + std::to_string(skew)).c_str(), 1000, count);
    double sum = 0;
    for (int r = 1; r <= 1000; ++r) sum += std::pow(r, -skew);
    for (const int rank : {1, 2, 3, 10, 100}) {
      CAPTURE(skew, rank);
      const double expected = count * std::pow(rank, -skew) / sum;
      CHECK(seen[static_cast<size_t>(rank - 1)] ==
            Approx(expected).margin(5 * std::sqrt(expected)));
    }
  }
}

TEST_CASE("zipf over billions of keys stays within them") {
  KeyOrder order(Popularity::parse("zipf:0.9"), uint64_t{1} << 32, 0, 1);
  uint64_t large = 0;
  for (const uint32_t n : order.ring) large += n > 1'000'000'000;
  CHECK(large > 0);
}

TEST_CASE("sequential goes through all keys and begins again") {
  for (const int n : draws("sequential", 50, 150)) CHECK(n == 3);
}

TEST_CASE("unique goes on beyond the number of keys, also from where another load ended") {
  KeyOrder order(Popularity::parse("unique"), 10, 1000, 1);
  KeyPicker one(order, 1);
  KeyPicker other(order, 2);
  CHECK(one.next() == 1000);
  CHECK(other.next() == 1001);
  for (int i = 0; i < 20; ++i) one.next();
  CHECK(order.next == 1022);
}

TEST_CASE("what is no popularity is refused by name") {
  for (const char* text : {"", "zipf", "zipf:", "zipf:x", "zipf:-1", "zipf:9", "hot"}) {
    CHECK_THROWS_WITH(Popularity::parse(text), Catch::StartsWith(std::string("'") + text + "'"));
  }
}
