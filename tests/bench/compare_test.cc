#include "tools/bench/compare.h"

#include <catch2/catch.hpp>

using namespace larder::bench;

TEST_CASE("a server is asked in its own protocol or else in the row's") {
  Row row;
  row.workload.dialect = Dialect::Name::Meta;
  CHECK(row_for({"server"}, row).workload.dialect == Dialect::Name::Meta);
  const ServerCommand redis{.command = "server", .protocol = Dialect::Name::Resp};
  CHECK(row_for(redis, row).workload.dialect == Dialect::Name::Resp);
  CHECK(row_for(redis, row).same_data(row));
}

TEST_CASE("a server has no part in a row that its protocol cannot ask for") {
  const ServerCommand redis{.command = "server", .protocol = Dialect::Name::Resp};
  Row cas;
  cas.workload.mix = Mix::parse("get=1,cas=1");
  Row noreply;
  noreply.workload.noreply = true;
  for (const Row& row : {cas, noreply}) {
    CHECK(takes_part({"server"}, row));
    CHECK_FALSE(takes_part(redis, row));
  }
  for (const Row& row : comparison_rows()) {
    CAPTURE(row.name);
    CHECK(takes_part(redis, row));
    CHECK(takes_part({"server", true}, row) == row.many_items());
  }
}
