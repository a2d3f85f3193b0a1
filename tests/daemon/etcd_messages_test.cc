#include "daemon/etcd_messages.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("requests are as etcd's gateway takes them") {
  CHECK(etcd_grant(10) == R"({"TTL":"10"})");
  CHECK(etcd_lease(7587877) == R"({"ID":"7587877"})");
  CHECK(etcd_put("/a", "b", 5) == R"({"key":"L2E=","value":"Yg==","lease":"5"})");
  CHECK(etcd_range("/a/", 9) == R"({"key":"L2Ev","range_end":"L2Ew","limit":"9"})");
  CHECK(etcd_put_if("/a", 3, "b") ==
        R"({"compare":[{"key":"L2E=","target":"MOD","result":"EQUAL","mod_revision":"3"}],)"
        R"("success":[{"request_put":{"key":"L2E=","value":"Yg=="}}]})");
  CHECK(etcd_put_while({"/b", 0}, "/a", "b", 5) ==
        R"({"compare":[{"key":"L2I=","target":"MOD","result":"EQUAL","mod_revision":"0"}],)"
        R"("success":[{"request_put":{"key":"L2E=","value":"Yg==","lease":"5"}}]})");
  CHECK(etcd_watch("/a/", 8) ==
        R"({"create_request":{"key":"L2Ev","range_end":"L2Ew","start_revision":"8"}})");
  CHECK(etcd_authenticate("a\"b", "c") == R"({"name":"a\"b","password":"c"})");
}

TEST_CASE("a token is read if a header can carry it") {
  CHECK(read_token(R"({"header":{},"token":"abc.5"})") == "abc.5");
  for (const char* text : {"{}", R"({"token":5})", R"({"token":""})", R"({"token":"a\r\nb: c"})"}) {
    CHECK_FALSE(read_token(text));
  }
}

TEST_CASE("a put that depends on a revision was done only if the answer says so") {
  CHECK(read_succeeded(R"({"header":{},"succeeded":true,"responses":[]})"));
  for (const char* text : {"{}", "", R"({"succeeded":false})", R"({"succeeded":"true"})"}) {
    CHECK_FALSE(read_succeeded(text));
  }
}

TEST_CASE("leases are read, and what is none is not") {
  CHECK(read_granted_lease(R"({"header":{"revision":"1"},"ID":"7587877","TTL":"5"})") == 7587877);
  CHECK(read_granted_lease(R"({"ID":12})") == 12);
  for (const char* text : {"", "{}", "[]", "5", "null", R"({"ID":"0"})", R"({"ID":"-5"})",
                           R"({"ID":"x"})", R"({"ID":"5x"})", R"({"ID":1.5})", R"({"ID":[5]})",
                           R"({"ID":"99999999999999999999"})", R"({"ID":"5")"}) {
    INFO(text);
    CHECK_FALSE(read_granted_lease(text));
  }
  CHECK(read_lease_seconds(R"({"result":{"ID":"77","TTL":"5"}})"
                           "\n") == 5);
  CHECK(read_lease_seconds(R"({"result":{"ID":"77"}})") == 0);
  CHECK(read_lease_seconds(R"({"result":{"TTL":"-1"}})") == 0);
  for (const char* text : {"", "{}", R"({"result":5})", R"({"TTL":"5"})", R"({"error":"x"})",
                           R"({"result":{"TTL":"x"}})"}) {
    INFO(text);
    CHECK_FALSE(read_lease_seconds(text));
  }
}

TEST_CASE("a range is read with its revision, and whole or not at all") {
  const std::string head = R"({"header":{"revision":"9"},"kvs":[)";
  const std::string pair =
      R"({"key":"L2E=","create_revision":"2","mod_revision":"3","version":"1","value":"Yg==","lease":"5"})";
  const auto range =
      read_range(head + pair + R"(,{"key":"L2I=","mod_revision":"9"}],"count":"2"})");
  REQUIRE(range);
  CHECK(range->revision == 9);
  CHECK_FALSE(range->more);
  REQUIRE(range->pairs.size() == 2);
  CHECK(range->pairs[0].key == "/a");
  CHECK(range->pairs[0].value == "b");
  CHECK(range->pairs[0].mod_revision == 3);
  CHECK(range->pairs[0].lease == 5);
  CHECK(range->pairs[1].key == "/b");
  CHECK(range->pairs[1].value == "");
  CHECK(range->pairs[1].lease == 0);
  const auto empty = read_range(R"({"header":{"revision":"9"},"more":true})");
  REQUIRE(empty);
  CHECK(empty->more);
  CHECK(empty->pairs.empty());

  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("\xff"), std::string(R"({"kvs":[]})"),
        std::string(R"({"header":{"revision":"9"},"kvs":5})"), head + pair, head + "5]}",
        head + "{}]}", head + R"({"key":"L2E="}]})",
        head + R"({"key":"L2E=","mod_revision":"10"}]})",  // later than the store
        head + R"({"key":"L2E","mod_revision":"3"}]})", head + R"({"key":5,"mod_revision":"3"}]})",
        head + R"({"key":"L2E=","mod_revision":"-3"}]})",
        head + R"({"key":"L2E=","mod_revision":"3","value":"?"}]})", std::string(1'000'000, '['),
        std::string(1'000'000, '{')}) {
    INFO(text.substr(0, 80));
    CHECK_FALSE(read_range(text));
  }
  // Cut anywhere it is none.
  const std::string whole = head + pair + "]}";
  REQUIRE(read_range(whole));
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    CHECK_FALSE(read_range(whole.substr(0, bytes)));
}

TEST_CASE("an answer that is deeper or has more values than etcd's is nothing") {
  const auto range_with = [](const std::string& more) {
    return read_range(R"({"header":{"revision":"5"},"more":false,"x":)" + more + "}").has_value();
  };
  const auto repeated = [](std::string_view text, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) all += text;
    return all;
  };
  // The most that a range of 2048 keys has, and then some.
  CHECK(range_with('[' + repeated(R"({"a":"1","b":"2","c":"3","d":"4","e":"5"},)", 10'000) + "5]"));
  CHECK_FALSE(range_with('[' + repeated("{},", 40'000) + "5]"));
  CHECK_FALSE(range_with('[' + repeated("[],", 40'000) + "5]"));
  CHECK_FALSE(range_with('[' + repeated("5,", 70'000) + "5]"));
  CHECK(range_with(repeated("[", 15) + "5" + repeated("]", 15)));
  CHECK_FALSE(range_with(repeated("[", 16) + "5" + repeated("]", 16)));
  CHECK_FALSE(range_with(repeated("[", 1'000'000)));
  // What is in a string has no depth and no values.
  CHECK(range_with(R"("\\\")" + repeated("[{,", 100'000) + '"'));
  CHECK(range_with(R"("\\")"));
}

TEST_CASE("a line of a watch is news, or none, or the end") {
  const auto is = [](const char* line) { return read_watch_line(line); };
  CHECK(is(R"({"result":{"header":{"revision":"3"},"created":true}})") == WatchNews::Nothing);
  CHECK(is(R"({"result":{"header":{"revision":"3"}}})") == WatchNews::Nothing);
  CHECK(is(R"({"result":{"header":{},"events":[]}})") == WatchNews::Nothing);
  CHECK(is(R"({"result":{"events":[{"type":"DELETE","kv":{"key":"L2E="}}]}})") ==
        WatchNews::Change);
  CHECK(is(R"({"result":{"canceled":true,"compact_revision":"3"}})") == WatchNews::Over);
  CHECK(is(R"({"error":{"grpc_code":14,"message":"x"}})") == WatchNews::Over);
  for (const char* line : {"", "x", "{}", "[]", R"({"result":5})", R"({"result":)"}) {
    INFO(line);
    CHECK(is(line) == WatchNews::Over);
  }
}

TEST_CASE("what etcd says about an error can be shown") {
  CHECK(read_etcd_error(R"({"error":"etcdserver: no leader","code":14})") ==
        "it says 'etcdserver: no leader'");
  CHECK(read_etcd_error(R"({"error":{"message":"a\nb\u00e4c"}})") ==
        "it says 'a?b?"
        "?c'");
  CHECK(read_etcd_error(R"({"error":")" + std::string(1000, 'x') + "\"}").size() < 200);
  CHECK(read_etcd_error("<html>") == "it says nothing that is understood");
  CHECK(read_etcd_error(R"({"error":5})") == "it says nothing that is understood");
}

}  // namespace
}  // namespace larder::daemon
