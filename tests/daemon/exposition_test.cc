#include "daemon/exposition.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("a family is its help, its type and its samples") {
  Exposition page;
  page.family("larder_items", MetricType::Gauge, "Items.");
  page.sample("", 17);
  page.family("larder_x_seconds", MetricType::Histogram, "Times.");
  page.sample(label("le", "0.5"), uint64_t{3}, "_bucket");
  page.sample("", 0.25, "_sum");
  const std::string expected =
      "# HELP larder_items Items.\n"
      "# TYPE larder_items gauge\n"
      "larder_items 17\n"
      "# HELP larder_x_seconds Times.\n"
      "# TYPE larder_x_seconds histogram\n"
      "larder_x_seconds_bucket{le=\"0.5\"} 3\n"
      "larder_x_seconds_sum 0.25\n";
  CHECK(page.take() == expected);
}

TEST_CASE("a label's value may hold anything") {
  CHECK(label("key", "a\"b\\c\nd") == std::string(R"(key="a\"b\\c\nd")"));
}

TEST_CASE("keys are shown in printable ASCII, each in its own way") {
  CHECK(printable_key("user:1") == "user:1");
  CHECK(printable_key(std::string_view("\0\xff \n", 4)) == "%00%FF%20%0A");
  CHECK(printable_key("100%") == "100%25");
}

}  // namespace
}  // namespace larder::daemon
