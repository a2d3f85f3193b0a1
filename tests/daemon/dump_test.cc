#include "daemon/dump.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "tests/proto/written.h"

using namespace larder;
using namespace larder::daemon;
using proto::DumpForm;
using test::joined;

namespace {

constexpr int64_t kUnixTimeOfZero = 1'000'000;

core::CacheConfig small_cache() {
  core::CacheConfig config;
  config.memory_bytes = 64u << 20;
  config.workers = 1;
  config.shards = 4;
  config.huge_pages = false;
  return config;
}

struct Fixture {
  void store(const std::string& key, const std::string& value, core::Seconds expiry = core::kNever,
             uint32_t flags = 0, bool base64 = false) {
    cache.begin_turn(0);
    core::ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    shape.client_flags = flags;
    shape.base64_key = base64;
    core::ItemDraft draft;
    REQUIRE(cache.allocate(0, {key, cache.hash(key)}, shape, now, draft) ==
            core::AllocateStatus::Ok);
    REQUIRE(draft.append(value));
    const core::StoreResult stored = cache.store(0, std::move(draft), {}, now);
    REQUIRE(stored.status == core::StoreStatus::Stored);
    size_class = cache.class_of(*stored.item) + 1;
    cas = stored.cas;
    cache.end_turn(0);
  }
  // One slice; true at the end.
  bool go_on(Dump& dump) {
    cache.begin_turn(0);
    proto::ReplyBuffer out;
    const bool done = dump.write_slice(cache, now, kUnixTimeOfZero, out);
    text += joined(out);
    cache.end_turn(0);
    return done;
  }
  std::string all(DumpForm form, std::string_view classes) {
    const auto dump = Dump::begin(form, proto::read_class_list(classes, 255), running);
    REQUIRE(dump != nullptr);
    text.clear();
    slices = 1;
    while (!go_on(*dump)) ++slices;
    return text;
  }
  // How often each key stands in the text of an mgdump.
  std::map<std::string, int> keys() const {
    std::map<std::string, int> found;
    for (size_t at = 0; (at = text.find("mg ", at)) != std::string::npos;) {
      const size_t end = text.find("\r\n", at);
      ++found[text.substr(at + 3, end - at - 3)];
      at = end;
    }
    return found;
  }

  core::Cache cache{small_cache()};
  core::Seconds now = 1000;
  std::atomic<uint32_t> running{0};
  std::string text;
  int slices = 0;
  uint32_t size_class = 0;  // of what was stored last
  uint64_t cas = 0;
};

}  // namespace

TEST_CASE("an empty cache has an empty dump") {
  Fixture f;
  CHECK(f.all(DumpForm::MetaDump, "all") == "OK\r\nEND\r\n");
  CHECK(f.all(DumpForm::MgDump, "hash") == "OK\r\nEN\r\n");
}

TEST_CASE("a dump tells of an item what there is to tell") {
  Fixture f;
  f.store("a b", "value", 1100, 7);
  const std::string cas = std::to_string(f.cas);
  const std::string number = std::to_string(f.size_class);
  f.now = 1005;
  CHECK(f.all(DumpForm::MetaDump, number) == "OK\r\nkey=a%20b exp=1001100 la=1001000 cas=" + cas +
                                                 " fetch=no cls=" + number +
                                                 " size=28 flags=7 \nEND\r\n");
  f.now = 1070;  // a read is noted once in a minute
  core::Found found;
  f.cache.begin_turn(0);
  const core::Probe probe{"a b", f.cache.hash("a b"), true};
  f.cache.lookup(0, {&probe, 1}, {&found, 1}, f.now);
  f.cache.end_turn(0);
  CHECK(f.all(DumpForm::MetaDump, "all").find(" la=1001070 cas=" + cas + " fetch=yes ") !=
        std::string::npos);
  CHECK(f.all(DumpForm::MetaDump, std::to_string(f.size_class + 1)) == "OK\r\nEND\r\n");
  f.now = 1100;
  CHECK(f.all(DumpForm::MetaDump, "all") == "OK\r\nEND\r\n");  // expired
}

TEST_CASE("a long value counts with all its parts, a base64 key stays one") {
  Fixture f;
  f.store("long", std::string(300'000, 'x'));
  const std::string text = f.all(DumpForm::MetaDump, "all");
  const size_t size = text.find(" size=");
  REQUIRE(size != std::string::npos);
  CHECK(std::stoul(text.substr(size + 6)) > 300'000);
  f.cache.flush(f.now);
  CHECK(f.all(DumpForm::MgDump, "all") == "OK\r\nEN\r\n");
  f.store("foo", "v", core::kNever, 0, true);
  CHECK(f.all(DumpForm::MgDump, "all") == "OK\r\nmg Zm9v b\r\nEN\r\n");
}

TEST_CASE("a long dump comes in slices, and shows what was there all the time exactly once") {
  Fixture f;
  constexpr int kKept = 20'000;
  for (int i = 0; i < kKept; ++i) f.store("kept" + std::to_string(i), "v");
  const auto dump = Dump::begin(DumpForm::MgDump, proto::read_class_list("all", 63), f.running);
  CHECK(f.running == 1);
  int slices = 1;
  int others = 0;
  while (!f.go_on(*dump)) {
    ++slices;
    // Others come, and those that are there get other values, shorter and longer.
    for (int i = 0; i < 300 && others < 60'000; ++i)
      f.store("other" + std::to_string(others++), "");
    for (int i = 0; i < 100; ++i) {
      f.store("kept" + std::to_string((others * 7 + i * 31) % kKept), std::string(i, 'w'));
    }
    f.cache.tend(0, f.now, 100);
  }
  CHECK(slices > 5);
  CHECK(f.text.starts_with("OK\r\nmg "));
  CHECK(f.text.ends_with("\r\nEN\r\n"));
  const std::map<std::string, int> keys = f.keys();
  int missed = 0;
  int twice = 0;
  for (int i = 0; i < kKept; ++i) missed += !keys.contains("kept" + std::to_string(i));
  for (const auto& [key, times] : keys) twice += times > 1;
  CHECK(missed == 0);
  CHECK(twice == 0);
}

TEST_CASE("a slice is bounded in bytes") {
  Fixture f;
  for (int i = 0; i < 5'000; ++i) {
    f.store(std::string(200, '%') + std::to_string(i), "v");
  }
  const auto dump = Dump::begin(DumpForm::MetaDump, proto::read_class_list("all", 63), f.running);
  for (bool done = false; !done;) {
    f.text.clear();
    done = f.go_on(*dump);
    CHECK(f.text.size() < 4 * Dump::kSliceBytes);
  }
}
