#include "proto/dump_writer.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/limits.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::joined;

namespace {

std::string line(DumpForm form, const DumpedItem& item) {
  ReplyBuffer out;
  write_dump_item(form, item, out);
  return joined(out);
}

}  // namespace

TEST_CASE("a metadump line says all about an item, as memcached 1.6.45 says it") {
  DumpedItem item;
  item.key = "a b:c";
  item.last_access = 1795621148;
  item.cas = 2;
  item.size_class = 1;
  item.item_bytes = 61;
  CHECK(line(DumpForm::MetaDump, item) ==
        "key=a%20b%3Ac exp=-1 la=1795621148 cas=2 fetch=no cls=1 size=61 flags=0 \n");
  item.expiry = 1795621248;
  item.fetched = true;
  item.client_flags = 4294967295;
  CHECK(line(DumpForm::MetaDump, item) ==
        "key=a%20b%3Ac exp=1795621248 la=1795621148 cas=2 fetch=yes cls=1 size=61 "
        "flags=4294967295 \n");
}

TEST_CASE("an mgdump line can be sent back as it is") {
  DumpedItem item;
  item.key = "foo";
  CHECK(line(DumpForm::MgDump, item) == "mg foo\r\n");
  item.base64_key = true;
  CHECK(line(DumpForm::MgDump, item) == "mg Zm9v b\r\n");
}

TEST_CASE("the longest lines find room") {
  const std::string key(kMaxKeyBytes, '\xff');
  DumpedItem item;
  item.key = key;
  item.base64_key = true;
  item.expiry = INT64_MAX;
  item.last_access = INT64_MIN;
  item.cas = UINT64_MAX;
  item.fetched = true;
  item.size_class = UINT32_MAX;
  item.item_bytes = UINT64_MAX;
  item.client_flags = UINT32_MAX;
  const std::string meta = line(DumpForm::MetaDump, item);
  CHECK(meta.find("exp=9223372036854775807 la=-9223372036854775808 cas=18446744073709551615 ") !=
        std::string::npos);
  CHECK(meta.ends_with(" flags=4294967295 \n"));
  CHECK(line(DumpForm::MgDump, item).ends_with(" b\r\n"));
}

TEST_CASE("a dump begins with OK and ends with its own word") {
  ReplyBuffer out;
  write_dump_begin(out);
  write_dump_end(DumpForm::MetaDump, out);
  write_dump_end(DumpForm::MgDump, out);
  CHECK(joined(out) == "OK\r\nEND\r\nEN\r\n");
}
