#include "tools/larder/watch_line.h"

#include <catch2/catch.hpp>
#include <string>

using namespace larder::operate;
using Kind = WatchLine::Kind;

namespace {

Kind kind_of(const std::string& rest) { return parse_watch_line("ts=1.000001 gid=1 " + rest).kind; }

}  // namespace

TEST_CASE("a store is an add, a change or nothing, by its status and command") {
  const auto store = [](const std::string& status, const std::string& command) {
    return kind_of("type=item_store key=k status=" + status + " cmd=" + command +
                   " ttl=0 clsid=1 cfd=9 size=3");
  };
  CHECK(store("stored", "add") == Kind::Add);
  for (const char* const command : {"set", "replace", "append", "prepend", "cas", "new"}) {
    CHECK(store("stored", command) == Kind::Change);
    CHECK(store("too_large", command) == Kind::Change);
    CHECK(store("no_memory", command) == Kind::Change);
    CHECK(store("new", command) == Kind::Change);
    for (const char* const status : {"not_stored", "exists", "not_found"}) {
      CHECK(store(status, command) == Kind::Other);
    }
  }
}

TEST_CASE("lines of memcached 1.6 without a descriptor and a size are read") {
  const WatchLine line = parse_watch_line(
      "ts=1592.7 gid=2 type=item_store key=a%20b%25 status=stored cmd=set ttl=0 clsid=1");
  CHECK(line.kind == Kind::Change);
  CHECK(line.key == "a b%");
}

TEST_CASE("deletes, changes and flushes are seen, and the other streams are not") {
  CHECK(kind_of("type=deleted key=k cmd=delete clsid=0 size=0") == Kind::Change);
  CHECK(kind_of("type=item_change key=k cmd=incr cfd=3") == Kind::Change);
  CHECK(kind_of("type=flush_all cfd=-1") == Kind::Flush);
  CHECK(kind_of("type=item_get key=k status=found clsid=1 cfd=3 size=1") == Kind::Other);
  CHECK(kind_of("type=eviction key=k fetch=no ttl=-1 la=1 clsid=1 size=1") == Kind::Other);
  CHECK(kind_of("type=conn_new rip=::1 rport=1 transport=tcp cfd=4") == Kind::Other);
}

TEST_CASE("a line of an unknown type may be a change, and is no line of a watch") {
  for (const char* const type :
       {"dexeted", "delete", "item_chang\x80", "item_change2", "flush", "", "x"}) {
    INFO(type);
    CHECK(kind_of("type=" + std::string(type) + " key=k cmd=delete") == Kind::Garbage);
  }
}

TEST_CASE("the value of a word is not taken for another word") {
  const WatchLine line = parse_watch_line("ts=1 gid=1 type=deleted key=type=flush_all cmd=md");
  CHECK(line.kind == Kind::Change);
  CHECK(line.key == "type=flush_all");
}

TEST_CASE("lines that were left out, and what is no line of a watch") {
  CHECK(parse_watch_line("skipped=12").kind == Kind::Skipped);
  CHECK(parse_watch_line("[skipped: 12]").kind == Kind::Skipped);
  for (const char* const line :
       {"", "OK", "ERROR", "\xff", "ts=1", "ts=1 gid=2", "ts=1 type=deleted",
        "ts=1 type=deleted key=", "ts=1 type=deleted key=%4", "ts=1 type=deleted key=%zz",
        "ts=1 type=item_store key=k", "ts=1 type=item_store key=k cmd=set",
        "gid=1 type=deleted key=k", "ts=1 type=item_change cmd=incr"}) {
    INFO(line);
    CHECK(parse_watch_line(line).kind == Kind::Garbage);
  }
}
