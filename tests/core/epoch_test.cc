#include "core/epoch.h"

#include <catch2/catch.hpp>

using larder::core::Epoch;

TEST_CASE("a stamp passes once an epoch has begun after it and nobody is inside") {
  Epoch epoch(2);
  const Epoch::Stamp stamp = epoch.now();
  CHECK_FALSE(epoch.passed(stamp));
  epoch.advance();
  CHECK(epoch.passed(stamp));
}

TEST_CASE("a reader that entered before holds the stamp back until it leaves") {
  Epoch epoch(2);
  epoch.enter(epoch.reader(1));
  const Epoch::Stamp stamp = epoch.now();
  epoch.advance();
  CHECK_FALSE(epoch.passed(stamp));
  epoch.leave(epoch.reader(1));
  CHECK(epoch.passed(stamp));
}

TEST_CASE("a reader that entered after does not") {
  Epoch epoch(2);
  const Epoch::Stamp stamp = epoch.now();
  epoch.advance();
  epoch.enter(epoch.reader(0));
  CHECK(epoch.passed(stamp));
  const Epoch::Stamp later = epoch.now();
  epoch.advance();
  CHECK_FALSE(epoch.passed(later));
  epoch.leave(epoch.reader(0));
}

TEST_CASE("refresh lets go of what was seen before") {
  Epoch epoch(1);
  epoch.enter(epoch.reader(0));
  const Epoch::Stamp stamp = epoch.now();
  epoch.advance();
  CHECK_FALSE(epoch.passed(stamp));
  epoch.refresh(epoch.reader(0));
  CHECK(epoch.passed(stamp));
}
