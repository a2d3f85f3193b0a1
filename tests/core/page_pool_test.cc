#include "core/page_pool.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "core/memory_file.h"
#include "core/poison.h"
#include "tests/support/mapping.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_mount.h"

using namespace larder::core;
using larder::test::TempFolder;
using larder::test::TestMount;

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

TEST_CASE("a caller that gives back more soon gets a page beyond the overdraft") {
  PagePool pool(8_MiB, 8_MiB, false);
  while (pool.take(true) != kNoPage) {
  }
  const size_t peak = pool.overdraft_peak_pages();
  CHECK(pool.take(PagePool::Bound::None) == kNoPage);  // no more pages are open
  REQUIRE(pool.set_limit(1_MiB));
  PageNumber last = kNoPage;
  for (PageNumber page = 1; page <= 10; ++page) pool.give_back(last = page);
  CHECK(pool.take(true) == kNoPage);
  CHECK(pool.take(PagePool::Bound::None) == last);
  CHECK(pool.overdraft_peak_pages() == peak);
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
  while (pool.trim(4, kFirstSecond)) {
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

TEST_CASE("what a stall borrows stays resident for a minute, but not beyond a lowered limit") {
  PagePool pool(8_MiB, 8_MiB, false);
  std::vector<PageNumber> pages;
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) pages.push_back(page);
  constexpr size_t kBorrowed = PagePool::kStallPages;
  const auto borrow = [&] {
    for (size_t i = 0; i < kBorrowed; ++i) {
      pages.push_back(pool.take(true));
      REQUIRE(pages.back() != kNoPage);
    }
  };
  const auto give_back = [&] {
    for (size_t i = 0; i < kBorrowed; ++i) {
      pool.give_back(pages.back());
      pages.pop_back();
    }
  };
  const auto released_at = [&](Seconds now) {
    while (pool.trim(4, now)) {
    }
    return pool.pages_released();
  };
  borrow();
  CHECK(released_at(kFirstSecond) == 0);
  give_back();
  CHECK(released_at(kFirstSecond + PagePool::kKeptSeconds - 1) == 0);
  borrow();  // again: the minute begins anew
  give_back();
  CHECK(released_at(kFirstSecond + PagePool::kKeptSeconds) == 0);
  CHECK(released_at(kFirstSecond + 2 * PagePool::kKeptSeconds) == kBorrowed);
  // Less than that, for a class that lacks a chunk.
  const Seconds later = kFirstSecond + 1000;
  pages.push_back(pool.take(true));
  pages.push_back(pool.take(true));
  CHECK(pool.pages_released() == kBorrowed - 2);
  pool.give_back(pages.back());
  pages.pop_back();
  CHECK(released_at(later) == kBorrowed - 1);
  pool.give_back(pages.back());
  pages.pop_back();
  CHECK(released_at(later) == kBorrowed);
  borrow();
  give_back();
  CHECK(released_at(later) == 0);
  REQUIRE(pool.set_limit(4_MiB));
  CHECK(released_at(later) == kBorrowed);
  // A page that is taken while the lowered limit is exceeded is not borrowed.
  const auto give_back_until = [&](size_t left) {
    for (; pages.size() > left; pages.pop_back()) pool.give_back(pages.back());
  };
  give_back_until(pool.pages_limit() + pool.overdraft_pages() - 1);
  pages.push_back(pool.take(true));
  REQUIRE(pages.back() != kNoPage);
  give_back_until(pool.pages_limit());
  CHECK(released_at(later) == 8_MiB / PagePool::kBytesPerPage + kBorrowed - pool.pages_limit());
}

TEST_CASE("once a stall has borrowed much the rest of the overdraft is made ready") {
  PagePool pool(16_MiB, 16_MiB, false);
  while (pool.take(false) != kNoPage) {
    while (pool.ready_ahead()) {
    }
  }
  PageNumber last = kNoPage;
  for (size_t i = 0; i + 1 < PagePool::kStallPages; ++i) last = pool.take(true);
  CHECK_FALSE(pool.wants_ahead());
  CHECK_FALSE(resident(pool, last + 1));
  last = pool.take(true);
  CHECK(pool.wants_ahead());
  while (pool.ready_ahead()) {
  }
  const auto end = static_cast<PageNumber>(pool.pages_limit() + pool.overdraft_pages());
  CHECK(resident(pool, last + 1));
  CHECK(resident(pool, end));
  // The kernel gets back none of it while more may be borrowed.
  CHECK_FALSE(pool.trim(4, kFirstSecond));
  CHECK(resident(pool, end));
}

TEST_CASE("a page whose memory the kernel has got back has all of it when it is taken again") {
  PagePool pool(4_MiB, 4_MiB, false);
  std::vector<PageNumber> pages;
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) pages.push_back(page);
  for (const PageNumber page : pages) pool.give_back(page);
  REQUIRE(pool.set_limit(1_MiB));
  while (pool.trim(16, kFirstSecond)) {
  }
  const size_t released = pool.pages_released();
  REQUIRE(released > 0);
  REQUIRE(pool.set_limit(4_MiB));
  while (pool.pages_released() > 0) {
    const PageNumber page = pool.take(false);
    std::array<unsigned char, kPageBytes / 4096> here{};
    REQUIRE(mincore(pool.address(page), kPageBytes, here.data()) == 0);
    for (const unsigned char small : here) REQUIRE((small & 1) != 0);
  }
}

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
  while (pool.trim(16, kFirstSecond)) {
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
  while (pool.trim(16, kFirstSecond)) {
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

namespace {

// The memory of a pool over a file, in use.
struct FilePool {
  FilePool(const std::string& path, size_t limit_bytes)
      : file(path), pool(limit_bytes, 4 * limit_bytes, false, &file) {
    file.begin(false);
  }
  MemoryFile file;
  PagePool pool;
};

// Takes pages until there is none and writes to all of each.
std::vector<PageNumber> take_all(PagePool& pool) {
  std::vector<PageNumber> pages;
  for (PageNumber page; (page = pool.take(false)) != kNoPage;) {
    std::memset(pool.address(page), 'x', kPageBytes);
    pages.push_back(page);
  }
  return pages;
}

size_t mappings_between(const char* begin, const char* end) {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    const uintptr_t at = std::stoull(line, nullptr, 16);
    count += reinterpret_cast<uintptr_t>(begin) <= at && at < reinterpret_cast<uintptr_t>(end);
  }
  return count;
}

}  // namespace

TEST_CASE("over a file the pool hands out what the file system has room for, and no more") {
  const TestMount small("tmpfs", "size=12m");
  if (!small.mounted()) {
    WARN("skipped: tmpfs cannot be mounted here: " << small.why_not());
    return;
  }
  FilePool over(small.file("cache"), 6_MiB);
  PagePool& pool = over.pool;
  std::vector<PageNumber> pages;
  for (int i = 0; i < 40; ++i) pages.push_back(pool.take(false));
  small.fill();
  CHECK_FALSE(pool.is_short_of_room());
  const std::vector<PageNumber> more = take_all(pool);  // a store without room ends the process
  CHECK(more.size() < pool.pages_used());
  CHECK(pool.is_short_of_room());
  pages.insert(pages.end(), more.begin(), more.end());
  // The limit in force is what there is, less a margin to borrow from.
  CHECK(pool.pages_left() == 0);
  CHECK(pool.pages_limit() == pages.size());
  CHECK(pool.limit_bytes() == 6_MiB);
  for (PageNumber page; (page = pool.take(true)) != kNoPage;) {
    std::memset(pool.address(page), 'z', kPageBytes);
    pages.push_back(page);
  }
  CHECK(pool.pages_over_limit() >= pages.size() / 5);
  // What is given back is there for others, also as overdraft.
  const size_t over_limit = pool.pages_over_limit();
  for (size_t i = 0; i <= over_limit; ++i) {
    pool.give_back(pages.back());
    pages.pop_back();
  }
  while (pool.trim(16, kFirstSecond)) {
  }
  CHECK(pool.pages_released() == 0);
  for (size_t i = 0; i <= over_limit; ++i) {
    const PageNumber page = pool.take(true);
    REQUIRE(page != kNoPage);
    pool.address(page)[0] = 'y';
  }
  // It asks again once a second.
  pool.retry(100);
  CHECK(pool.is_short_of_room());
  small.make_room();
  pool.retry(100);
  CHECK(pool.is_short_of_room());
  pool.retry(101);
  CHECK_FALSE(pool.is_short_of_room());
  CHECK(pool.pages_limit() == 6_MiB / PagePool::kBytesPerPage);
  take_all(pool);
  CHECK(pool.pages_used() == pool.pages_limit());
}

TEST_CASE("memory is not ready ahead where the file system is full, and is asked for again") {
  const TestMount small("tmpfs", "size=24m");
  if (!small.mounted()) {
    WARN("skipped: tmpfs cannot be mounted here: " << small.why_not());
    return;
  }
  FilePool over(small.file("cache"), 16_MiB);
  PagePool& pool = over.pool;
  while (!pool.wants_ahead()) pool.take(false);
  small.fill();
  int calls = 0;
  while (pool.ready_ahead()) REQUIRE(++calls < 100);
  CHECK_FALSE(pool.wants_ahead());
  take_all(pool);
  small.make_room();
  pool.retry(100);
  CHECK(pool.pages_limit() == 16_MiB / PagePool::kBytesPerPage);
  while (pool.ready_ahead()) {
  }
  take_all(pool);
  CHECK(pool.pages_used() == pool.pages_limit());
}

TEST_CASE("pages whose memory the file gave back come back only if it has room for them") {
  const TestMount small("tmpfs", "size=12m");
  if (!small.mounted()) {
    WARN("skipped: tmpfs cannot be mounted here: " << small.why_not());
    return;
  }
  FilePool over(small.file("cache"), 6_MiB);
  PagePool& pool = over.pool;
  for (const PageNumber page : take_all(pool)) pool.give_back(page);
  REQUIRE(pool.set_limit(2_MiB));
  while (pool.trim(16, kFirstSecond)) {
  }
  const size_t released = pool.pages_released();
  CHECK(released == 6_MiB / PagePool::kBytesPerPage - 2_MiB / PagePool::kBytesPerPage);
  REQUIRE(pool.set_limit(6_MiB));
  small.fill();
  const size_t taken = take_all(pool).size();
  CHECK(taken >= 2_MiB / PagePool::kBytesPerPage);
  CHECK(taken < 6_MiB / PagePool::kBytesPerPage);
  CHECK(pool.pages_left() == 0);
  small.make_room();
  pool.retry(100);
  take_all(pool);
  CHECK(pool.pages_used() == 6_MiB / PagePool::kBytesPerPage);
}

TEST_CASE("a memory file is as long as the limit needs, and grows with it") {
  const TempFolder folder;
  FilePool over(folder.file("cache"), 8_MiB);
  const auto length = [](size_t limit) {
    return (limit / PagePool::kBytesPerPage +
            PagePool::overdraft_of(limit / PagePool::kBytesPerPage) + 1) *
           kPageBytes;
  };
  CHECK(over.file.length() == length(8_MiB));
  REQUIRE(over.pool.set_limit(24_MiB));
  CHECK(over.file.length() == length(24_MiB));
  CHECK(take_all(over.pool).size() == 24_MiB / PagePool::kBytesPerPage);
  REQUIRE(over.pool.set_limit(4_MiB));
  CHECK(over.file.length() == length(24_MiB));
}

TEST_CASE("a locked page goes back to the kernel as any other") {
  PagePool pool(8_MiB, 16_MiB, false);
  std::vector<PageNumber> pages = take_all(pool);
  if (mlock2(pool.base(), 8_MiB, MLOCK_ONFAULT) != 0) {
    WARN("skipped: memory cannot be locked here: " << std::strerror(errno));
    return;
  }
  for (const PageNumber page : pages) pool.give_back(page);
  REQUIRE(pool.set_limit(2_MiB));
  while (pool.trim(16, kFirstSecond)) {
  }
  size_t left = 0;
  for (const PageNumber page : pages) left += resident(pool, page);
  CHECK(left <= 2_MiB / PagePool::kBytesPerPage);
  CHECK(pool.pages_released() == pages.size() - left);
}

TEST_CASE("a page that the kernel does not take back is not booked as given") {
  PagePool pool(4_MiB, 4_MiB, false);
  const std::vector<PageNumber> pages = take_all(pool);
  // The kernel says no (ENOMEM) where nothing is mapped.
  const PageNumber missing = pages[pages.size() - 3];
  REQUIRE(munmap(pool.address(missing), kPageBytes) == 0);
  for (const PageNumber page : pages) pool.give_back(page);
  REQUIRE(pool.set_limit(1_MiB));
  int calls = 0;
  while (pool.trim(4, kFirstSecond)) REQUIRE(++calls < 1000);
  CHECK(pool.pages_released() == 2);
  CHECK_FALSE(pool.trim(4, kFirstSecond));
  // As if the kernel had changed its mind.
  REQUIRE(mmap(pool.address(missing), kPageBytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
  pool.retry(7);
  while (pool.trim(4, kFirstSecond)) {
  }
  CHECK(pool.pages_released() == pages.size() - 1_MiB / PagePool::kBytesPerPage);
}

TEST_CASE("only what the limit and the overdraft need of the reservation can be written") {
  PagePool pool(8_MiB, 64_MiB, true);
  const auto last = [&] {
    return static_cast<PageNumber>(pool.pages_limit() + PagePool::overdraft_of(pool.pages_limit()));
  };
  const auto writable = [&](PageNumber page) {
    const std::string flags = larder::test::flags_of_mapping(pool.address(page));
    REQUIRE(!flags.empty());
    return flags.find(" wr ") != std::string::npos;
  };
  CHECK(writable(last()));
  CHECK_FALSE(writable(last() + 2));
  for (size_t limit = 9_MiB; limit <= 40_MiB; limit += 1_MiB) REQUIRE(pool.set_limit(limit));
  CHECK(writable(last()));
  CHECK_FALSE(writable(last() + 2));
  pool.info(last()).chunks = 1;
  pool.expiries(last())[0] = 1;
  // What is open is one mapping, however often it grew.
  CHECK(mappings_between(pool.base(), pool.address(last())) <= 2);
}

TEST_CASE("where address space is short the pool reserves what the limit needs") {
#ifdef LARDER_ASAN
  WARN("skipped: AddressSanitizer needs more address space than there is to be");
#else
  const pid_t child = fork();
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    size_t pages = 0;
    statm >> pages;
    const rlim_t most = pages * 4096 + 100_MiB;
    const rlimit limit{most, most};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    try {
      PagePool pool(64_MiB, 8_GiB, true);
      const bool right = take_all(pool).size() == 64_MiB / PagePool::kBytesPerPage &&
                         pool.set_limit(32_MiB) && pool.set_limit(64_MiB) &&
                         !pool.set_limit(128_MiB) && pool.reserve_bytes() >= 64_MiB;
      _exit(right ? 0 : 3);
    } catch (const std::exception&) {
      _exit(4);
    }
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
#endif
}
