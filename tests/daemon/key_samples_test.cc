#include "daemon/key_samples.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

using What = KeySample::What;

constexpr uint32_t kAll = 10'000;
constexpr char kDelimiter = ':';
constexpr uint64_t kSeed = 7;

KeySample sample(std::string_view key, What what = What::Hit) {
  KeySample sample;
  sample.set(key, what, kSeed);
  return sample;
}

void add(KeySamples& samples, std::string_view key, What what, int times, core::Seconds now = 100) {
  for (int i = 0; i < times; ++i) {
    const KeySample one = sample(key, what);
    samples.add({&one, 1}, now);
  }
}

TEST_CASE("the hottest keys come first, with exact counts while there is room") {
  KeySamples samples(kDelimiter, kSeed);
  add(samples, "a", What::Hit, 3);
  add(samples, "b", What::Set, 9);
  const KeyFigures figures = samples.figures(kAll, kAll, 100);
  REQUIRE(figures.keys.size() == 2);
  CHECK(figures.keys[0].key == "b");
  CHECK(figures.keys[0].count == 9);
  CHECK(figures.keys[0].error == 0);
  CHECK(figures.keys[1].key == "a");
  CHECK(figures.total == 12);
  CHECK(figures.samples == 12);
  CHECK(samples.figures(1, kAll, 100).keys.size() == 1);
}

TEST_CASE("what was hot is so no more after some half-lives") {
  KeySamples samples(kDelimiter, kSeed);
  add(samples, "old", What::Hit, 64, 100);
  add(samples, "new", What::Hit, 20, 100 + 2 * KeySamples::kHalfLifeSeconds);
  const KeyFigures figures = samples.figures(kAll, kAll, 100 + 2 * KeySamples::kHalfLifeSeconds);
  CHECK(figures.keys[0].key == "new");
  CHECK(figures.keys[1].count == 16);
  CHECK(figures.total == 36);
  CHECK(samples.figures(kAll, kAll, 4'000'000).total < 0.01);
}

TEST_CASE("a prefix's hits, misses, sets and deletes are counted, and no half-life cuts them") {
  KeySamples samples(kDelimiter, kSeed);
  add(samples, "user:1", What::Hit, 4);
  add(samples, "user:2", What::Miss, 3);
  add(samples, "user:3", What::Set, 2);
  add(samples, "user:3", What::Delete, 1);
  add(samples, "user:3", What::Other, 5);
  add(samples, "page:9:b", What::Hit, 1);
  add(samples, "none", What::Hit, 50);
  const KeyFigures figures = samples.figures(kAll, kAll, 10'000);
  REQUIRE(figures.prefixes.size() == 2);
  const PrefixFigures& user = figures.prefixes[0];
  CHECK(user.prefix == "user");
  CHECK(user.hits == 4);
  CHECK(user.misses == 3);
  CHECK(user.sets == 2);
  CHECK(user.deletes == 1);
  CHECK(figures.prefixes[1].prefix == "page");
}

TEST_CASE("a prefix that comes back after it had lost its place begins anew") {
  KeySamples samples(kDelimiter, kSeed);
  add(samples, "a:1", What::Hit, 1);
  for (uint32_t i = 0; i < 2 * KeySamples::kMaxPrefixes; ++i) {
    add(samples, "p" + std::to_string(i) + ":1", What::Hit, 2);
  }
  add(samples, "a:1", What::Miss, 1);
  const KeyFigures figures = samples.figures(kAll, kAll, 100);
  CHECK(figures.prefixes.size() == KeySamples::kMaxPrefixes);
  CHECK(figures.keys.size() == KeySamples::kMaxKeys);
  for (const PrefixFigures& prefix : figures.prefixes) {
    if (prefix.prefix != "a") continue;
    CHECK(prefix.hits == 0);
    CHECK(prefix.misses == 1);
  }
}

TEST_CASE("long keys are cut, and yet told apart") {
  const std::string start(KeySample::kKeyBytes, 'k');
  KeySamples samples(kDelimiter, kSeed);
  add(samples, start, What::Hit, 3);
  add(samples, start + "1", What::Hit, 2);
  add(samples, start + "2", What::Hit, 1);
  const KeyFigures figures = samples.figures(kAll, kAll, 100);
  REQUIRE(figures.keys.size() == 3);
  CHECK(figures.keys[0].key == start);
  CHECK(figures.keys[1].key.starts_with(start + "..."));
  CHECK(figures.keys[1].key != figures.keys[2].key);
}

TEST_CASE("which names collide depends on the seed") {
  KeySample one;
  KeySample other;
  one.set("user:1", What::Hit, kSeed);
  other.set("user:1", What::Hit, kSeed + 1);
  CHECK(one.hash != other.hash);
  CHECK(KeySamples(kDelimiter, kSeed).seed() == kSeed);
}

TEST_CASE("no more is copied than is asked for") {
  KeySamples samples(kDelimiter, kSeed);
  for (int i = 0; i < 50; ++i) add(samples, std::to_string(i) + ":k", What::Hit, i + 1);
  const KeyFigures keys = samples.figures(3, 0, 100);
  REQUIRE(keys.keys.size() == 3);
  CHECK(keys.keys[0].key == "49:k");
  CHECK(keys.keys[2].key == "47:k");
  CHECK(keys.prefixes.empty());
  const KeyFigures prefixes = samples.figures(0, 2, 100);
  CHECK(prefixes.keys.empty());
  REQUIRE(prefixes.prefixes.size() == 2);
  CHECK(prefixes.prefixes[1].prefix == "48");
}

TEST_CASE("cleared samples are gone") {
  KeySamples samples(kDelimiter, kSeed);
  add(samples, "user:1", What::Hit, 4);
  samples.clear();
  const KeyFigures figures = samples.figures(kAll, kAll, 100);
  CHECK(figures.keys.empty());
  CHECK(figures.prefixes.empty());
  CHECK(figures.samples == 0);
}

}  // namespace
}  // namespace larder::daemon
