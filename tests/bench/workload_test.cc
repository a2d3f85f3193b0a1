#include "tools/bench/workload.h"

#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>
#include <string>

#include "tools/bench/rows.h"

using namespace larder::bench;

TEST_CASE("a mix is its weights, and cas is drawn as gets") {
  const Mix mix = Mix::parse("get=10,set=1,cas=3");
  CHECK(mix.weights[static_cast<size_t>(Kind::Get)] == 10);
  CHECK(mix.weights[static_cast<size_t>(Kind::Gets)] == 3);
  CHECK(mix.total() == 14);
  CHECK(mix.text() == "get=10,set=1,cas=3");
  CHECK(Mix::parse("set").text() == "set=1");
  for (const char* text : {"", "get=", "get=x", "get=-1", "get=0", "put=1", "get=1=2", "gets=1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Mix::parse(text), std::invalid_argument);
  }
}

TEST_CASE("an exchange holds pipeline requests, and gets have multiget keys") {
  Workload workload;
  CHECK(workload.ops_per_exchange() == 1);
  workload.pipeline = 4;
  workload.multiget = 50;
  CHECK(workload.ops_per_exchange() == 200);
  workload.mix = Mix::parse("get=1,set=1");
  CHECK(workload.ops_per_exchange() == 102);
}

TEST_CASE("a workload with cas or noreply is refused in resp alone") {
  Workload plain;
  Workload cas;
  cas.mix = Mix::parse("get=1,cas=1");
  Workload noreply;
  noreply.noreply = true;
  for (Workload* workload : {&plain, &cas, &noreply}) {
    CHECK_FALSE(refusal_of(*workload));
    workload->dialect = Dialect::Name::Resp;
  }
  CHECK_FALSE(refusal_of(plain));
  CHECK(refusal_of(cas) == "--mix: resp has no cas");
  CHECK(refusal_of(noreply) == "--noreply: resp answers every request");
}

TEST_CASE("filling stores every key once, in larger exchanges the smaller its values are") {
  Workload workload;
  workload.mix = Mix::parse("get");
  workload.multiget = 50;
  const Workload small = fill_of(workload);
  CHECK(small.mix.text() == "set=1");
  CHECK(small.popularity.kind == Popularity::Kind::Sequential);
  CHECK(small.pipeline == 128);
  workload.value_bytes = Distribution(1'000'000);
  CHECK(fill_of(workload).pipeline == 1);
}

TEST_CASE("rows have names of their own, and rows with the same data stand together") {
  const auto rows = comparison_rows();
  std::set<std::string> names;
  for (const Row& row : rows) names.insert(row.name);
  CHECK(names.size() == rows.size());
  for (size_t i = 0; i + 2 < rows.size(); ++i) {
    for (size_t j = i + 2; j < rows.size(); ++j) {
      if (rows[i].same_data(rows[j])) CHECK(rows[j - 1].same_data(rows[j]));
    }
  }
}
