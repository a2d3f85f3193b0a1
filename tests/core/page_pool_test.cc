#include "core/page_pool.h"

#include <sys/mman.h>

#include <catch2/catch.hpp>

#include <set>
#include <vector>

using namespace larder::core;

TEST_CASE("pages are distinct and end at the limit; overdraft goes a little beyond") {
  PagePool pool(1_MiB, 4_MiB, false);
  std::set<PageNumber> pages;
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) {
    REQUIRE(pages.insert(page).second);
    REQUIRE(page != 0);
  }
  CHECK(pages.size() == 1_MiB / PagePool::kBytesPerPage);
  size_t borrowed = 0;
  for (PageNumber page; (page = pool.take(true)) != kNoPage; ++borrowed) {
    REQUIRE(pages.insert(page).second);
  }
  CHECK(borrowed == pool.overdraft_pages());
  CHECK(pool.pages_over_limit() == borrowed);
  for (const PageNumber page : pages) pool.give_back(page);
  CHECK(pool.pages_used() == 0);
}

TEST_CASE("the limit moves within the reservation") {
  PagePool pool(1_MiB, 4_MiB, false);
  CHECK(pool.set_limit(3_MiB));
  CHECK(pool.pages_left() == 3_MiB / PagePool::kBytesPerPage);
  CHECK_FALSE(pool.set_limit(1_GiB));
  CHECK(pool.limit_bytes() == 3_MiB);
}

TEST_CASE("what is beyond a lowered limit goes back to the kernel, and reads as zero again") {
  PagePool pool(4_MiB, 4_MiB, false);
  std::vector<PageNumber> pages;
  for (int i = 0; i < 64; ++i) {
    pages.push_back(pool.take(false));
    pool.address(pages.back())[0] = 'x';
  }
  for (const PageNumber page : pages) pool.give_back(page);
  REQUIRE(pool.set_limit(1_MiB));
  while (pool.trim(4)) {
  }
  REQUIRE(pool.set_limit(4_MiB));
  int zeroed = 0;
  for (int i = 0; i < 64; ++i) zeroed += pool.address(pool.take(false))[0] == 0;
  CHECK(zeroed >= 32);
}

namespace {

bool resident(const PagePool& pool, PageNumber page) {
  unsigned char here = 0;
  REQUIRE(mincore(pool.address(page), 1, &here) == 0);
  return (here & 1) != 0;
}

}  // namespace

TEST_CASE("what was made ready and not used goes back with a lowered limit") {
  PagePool pool(16_MiB, 64_MiB, true);
  std::set<PageNumber> pages;
  while (!pool.wants_ahead()) pages.insert(pool.take(false));
  while (pool.ready_ahead()) {
  }
  const PageNumber last = *pages.rbegin();
  REQUIRE(resident(pool, last + 1));
  REQUIRE(resident(pool, last + PagePool::kAheadPages));
  pool.address(last)[0] = 'y';
  REQUIRE(pool.set_limit(2_MiB));
  while (pool.trim(16)) {
  }
  CHECK_FALSE(resident(pool, last + 1));
  CHECK_FALSE(resident(pool, last + PagePool::kAheadPages));
  CHECK(pool.address(last)[0] == 'y');  // in use, and left alone

  REQUIRE(pool.set_limit(16_MiB));
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) {
    REQUIRE(pages.insert(page).second);
    pool.address(page)[0] = 'x';
  }
  CHECK(pages.size() == pool.pages_limit());
}

TEST_CASE("memory is made ready ahead of what is used, and not beyond the limit") {
  PagePool pool(16_MiB, 64_MiB, true);
  const auto limit = static_cast<PageNumber>(pool.pages_limit());
  CHECK_FALSE(pool.wants_ahead());
  PageNumber page = kNoPage;
  while (!pool.wants_ahead()) page = pool.take(false);
  CHECK(page == PagePool::kAheadFromPages - 1);
  while (pool.ready_ahead()) {
  }
  CHECK_FALSE(pool.wants_ahead());
  CHECK(resident(pool, page + 1));
  CHECK(resident(pool, page + PagePool::kAheadPages));
  CHECK_FALSE(resident(pool, limit));

  while (page < limit) {
    page = pool.take(false);
    while (pool.ready_ahead()) {
    }
  }
  CHECK(resident(pool, limit));
  CHECK_FALSE(resident(pool, limit + 2_MiB / kPageBytes));
  CHECK_FALSE(pool.wants_ahead());
}

TEST_CASE("all memory is made ready at once, and not beyond the limit") {
  PagePool pool(16_MiB, 64_MiB, true);
  const PageNumber used = pool.take(false);
  pool.address(used)[0] = 'x';
  const auto limit = static_cast<PageNumber>(pool.pages_limit());
  REQUIRE(pool.ready_all());
  for (PageNumber page = used; page <= limit; ++page) REQUIRE(resident(pool, page));
  CHECK_FALSE(resident(pool, limit + 2_MiB / kPageBytes));
  CHECK(pool.address(used)[0] == 'x');
  CHECK_FALSE(pool.wants_ahead());
  REQUIRE(pool.ready_all());  // nothing is left to do

  REQUIRE(pool.set_limit(2_MiB));
  while (pool.trim(16)) {
  }
  size_t left = 0;
  for (PageNumber page = used; page <= limit; ++page) left += resident(pool, page);
  CHECK(left <= pool.pages_limit());
}

TEST_CASE("a reference names its page and address") {
  PagePool pool(1_MiB, 1_MiB, false);
  const PageNumber page = pool.take(false);
  char* at = pool.address(page) + 1236;
  CHECK(PagePool::page_of(pool.ref_of(at)) == page);
  CHECK(pool.at(pool.ref_of(at)) == at);
}

TEST_CASE("a pool is nearly overdrawn by what was borrowed, not by a limit that was lowered") {
  PagePool pool(8_MiB, 16_MiB, false);
  std::vector<PageNumber> pages;
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) pages.push_back(page);
  CHECK_FALSE(pool.is_nearly_overdrawn());
  for (PageNumber page; (page = pool.take(true)) != kNoPage;) pages.push_back(page);
  CHECK(pool.is_nearly_overdrawn());
  REQUIRE(pool.set_limit(1_MiB));
  CHECK_FALSE(pool.is_nearly_overdrawn());
  for (const PageNumber page : pages) pool.give_back(page);
  CHECK(pool.pages_used() == 0);
}
