#include "daemon/larder_metrics.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/figures.h"

namespace larder::daemon {
namespace {

struct Fixture : test::Figures {
  std::string page() const {
    Exposition exposition;
    write_larder_metrics(sources, sampled, exposition);
    return exposition.take();
  }
  bool shows(const std::string& line) const {
    return page().find("\n" + line + "\n") != std::string::npos;
  }

  SampledFigures sampled;
};

TEST_CASE("latencies are a histogram with cumulative buckets in seconds") {
  Fixture f;
  LatencyHistogram histogram;
  for (const uint64_t ns : {100, 300, 300, 2000}) histogram.record(ns);
  f.sampled.latencies[static_cast<size_t>(CommandKind::Get)].add(histogram);
  CHECK(f.shows(R"(larder_request_duration_seconds_bucket{command="get",le="2.56e-07"} 1)"));
  CHECK(f.shows(R"(larder_request_duration_seconds_bucket{command="get",le="5.12e-07"} 3)"));
  CHECK(f.shows(R"(larder_request_duration_seconds_bucket{command="get",le="2.048e-06"} 4)"));
  CHECK(f.shows(R"(larder_request_duration_seconds_bucket{command="get",le="+Inf"} 4)"));
  CHECK(f.shows(R"(larder_request_duration_seconds_count{command="get"} 4)"));
  CHECK(f.page().find("larder_request_duration_seconds_sum{command=\"get\"} 2.7") !=
        std::string::npos);
  CHECK(f.page().find("command=\"set\"") == std::string::npos);
}

TEST_CASE("the hottest keys have their bounds, and what was sampled once is left out") {
  Fixture f;
  f.sampled.keys.total = 100;
  f.sampled.keys.keys = {{"a \"b\"", 50, 10}, {"c", 5, 5}, {"d", 1, 0}};
  CHECK(f.shows(R"(larder_hot_key_max_ratio{key="a%20\"b\""} 0.5)"));
  CHECK(f.shows(R"(larder_hot_key_min_ratio{key="a%20\"b\""} 0.4)"));
  CHECK(f.shows(R"(larder_hot_key_max_ratio{key="c"} 0.05)"));
  CHECK(f.shows(R"(larder_hot_key_min_ratio{key="c"} 0)"));
  CHECK(f.page().find("key=\"d\"") == std::string::npos);
}

TEST_CASE("prefixes are shown as estimates: samples times the interval between them") {
  Fixture f;
  f.sampled.keys.prefixes = {{"user", 3, 2, 1, 0, 6}};
  const auto estimate = [](uint64_t samples) { return std::to_string(samples * kKeySampleEvery); };
  CHECK(f.shows("larder_prefix_hits_total{prefix=\"user\"} " + estimate(3)));
  CHECK(f.shows("larder_prefix_misses_total{prefix=\"user\"} " + estimate(2)));
  CHECK(f.shows("larder_prefix_sets_total{prefix=\"user\"} " + estimate(1)));
  CHECK(f.page().find("\nlarder_prefix_deletes_total{prefix=\"user\"} 0\n") != std::string::npos);
}

TEST_CASE("what workers count is added up, and TLS is shown where it is spoken") {
  Fixture f;
  f.workers[0].meta_cmds.add(3);
  WorkerStats other;
  other.meta_cmds.add(4);
  f.sources.workers.push_back(&other);
  CHECK(f.shows("larder_meta_commands_total 7"));
  CHECK(f.page().find("larder_tls_") == std::string::npos);
  f.settings.tls.enabled = true;
  f.sources.tls.handshake_errors = 2;
  CHECK(f.shows("larder_tls_handshake_errors_total 2"));
}

TEST_CASE("the list of nodes is shown where there may be one, and etcd where it is asked") {
  Fixture f;
  CHECK(f.page().find("larder_cluster_") == std::string::npos);
  f.settings.cluster_file = "nodes";
  CHECK(f.shows("larder_cluster_version 0"));
  CHECK(f.page().find("larder_etcd_connected") == std::string::npos);
  f.settings.cluster_file.clear();
  f.settings.cluster_etcd = "etcd:2379";
  f.sources.discovery = {12, 3, true, true};
  CHECK(f.shows("larder_cluster_version 12"));
  CHECK(f.shows("larder_cluster_nodes 3"));
  CHECK(f.shows("larder_etcd_connected 1"));
  CHECK(f.shows("larder_draining 1"));
}

}  // namespace
}  // namespace larder::daemon
