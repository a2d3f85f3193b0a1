#include "core/slab.h"

#include <catch2/catch.hpp>

#include <random>
#include <set>
#include <vector>

using namespace larder::core;

namespace {

struct Fixture {
  PagePool pool{16_MiB, 16_MiB, false};
  SizeClasses sizes{1.25, 24};
  Slab slab{pool, sizes, 0};
};

}  // namespace

TEST_CASE("chunks of a page are distinct, and an empty page leaves the slab") {
  Fixture f;
  const uint32_t c = f.sizes.class_for(1000);
  const PageNumber page = f.pool.take(false);
  f.slab.add_page(page, c);
  std::set<Ref> chunks;
  while (const Ref ref = f.slab.take(c)) {
    f.slab.mark_published(ref);
    REQUIRE(PagePool::page_of(ref) == page);
    REQUIRE(chunks.insert(ref).second);
  }
  CHECK(chunks.size() == f.sizes.chunks_per_page(c));
  f.slab.check_invariants();
  PageNumber freed = kNoPage;
  for (const Ref ref : chunks) {
    REQUIRE(freed == kNoPage);
    freed = f.slab.put(ref);
  }
  CHECK(freed == page);
  CHECK(f.slab.pages().empty());
  CHECK(f.slab.of(c).chunks == 0);
}

TEST_CASE("random taking and putting keeps the books") {
  Fixture f;
  std::mt19937_64 random(1);
  std::vector<std::pair<Ref, uint32_t>> taken;
  for (int i = 0; i < 20000; ++i) {
    if (random() % 2 == 0 || taken.empty()) {
      const uint32_t c = static_cast<uint32_t>(random() % f.sizes.count());
      Ref ref = f.slab.take(c);
      if (ref == 0) {
        const PageNumber page = f.pool.take(false);
        if (page == kNoPage) continue;
        f.slab.add_page(page, c);
        ref = f.slab.take(c);
      }
      f.slab.mark_published(ref);
      taken.emplace_back(ref, c);
    } else {
      std::swap(taken[random() % taken.size()], taken.back());
      const PageNumber empty = f.slab.put(taken.back().first);
      taken.pop_back();
      if (empty != kNoPage) f.pool.give_back(empty);
    }
    if (i % 1000 == 0) f.slab.check_invariants();
  }
  for (const auto& [ref, c] : taken) {
    if (const PageNumber empty = f.slab.put(ref); empty != kNoPage) f.pool.give_back(empty);
  }
  f.slab.check_invariants();
  CHECK(f.pool.pages_used() == 0);
}

TEST_CASE("a draining page gives out nothing, and may be let go again") {
  Fixture f;
  const uint32_t c = f.sizes.class_for(100);
  f.slab.add_page(f.pool.take(false), c);
  const Ref first = f.slab.take(c);
  f.slab.mark_published(first);
  f.slab.start_draining(PagePool::page_of(first));
  CHECK(f.slab.take(c) == 0);
  f.slab.stop_draining(PagePool::page_of(first));
  const Ref second = f.slab.take(c);
  CHECK(second != 0);
  f.slab.mark_published(second);
  f.slab.check_invariants();
}

TEST_CASE("the sparsest page of a class is found among those without drafts") {
  Fixture f;
  const uint32_t c = f.sizes.class_for(4000);
  std::vector<Ref> refs;
  for (int p = 0; p < 3; ++p) {
    f.slab.add_page(f.pool.take(false), c);
    while (const Ref ref = f.slab.take(c)) refs.push_back(ref);
  }
  for (const Ref ref : refs) f.slab.mark_published(ref);
  const size_t per_page = f.sizes.chunks_per_page(c);
  REQUIRE(per_page >= 4);
  (void)f.slab.put(refs[0]);
  (void)f.slab.put(refs[per_page]);
  (void)f.slab.put(refs[per_page + 1]);
  CHECK(f.slab.sparsest_page(c) == PagePool::page_of(refs[per_page]));
  const Ref draft = f.slab.take(c);
  CHECK(f.slab.sparsest_page(c) != PagePool::page_of(draft));
  f.slab.mark_published(draft);
  CHECK(f.slab.sparsest_page(c) == PagePool::page_of(draft));
  f.slab.mark_held(draft);
  CHECK(f.slab.sparsest_page(c) != PagePool::page_of(draft));
  f.slab.unmark_held(draft);
  CHECK(f.slab.sparsest_page(c) == PagePool::page_of(draft));
}

TEST_CASE("pages with a draft hide no page behind them from the search for the sparsest") {
  Fixture f;
  const uint32_t c = f.sizes.class_for(4000);
  constexpr size_t kPagesWithDraft = 200;
  const size_t per_page = f.sizes.chunks_per_page(c);
  std::vector<Ref> refs;
  for (size_t p = 0; p <= kPagesWithDraft; ++p) {
    f.slab.add_page(f.pool.take(false), c);
    while (const Ref ref = f.slab.take(c)) refs.push_back(ref);
  }
  // The first page has room first, and so lies behind all others.
  for (size_t i = 0; i < per_page; ++i) f.slab.mark_published(refs[i]);
  for (size_t p = 0; p <= kPagesWithDraft; ++p) {
    const Ref ref = refs[p * per_page];
    if (p > 0) f.slab.mark_published(ref);
    (void)f.slab.put(ref);
  }
  PageNumber found = kNoPage;
  int calls = 0;
  for (; found == kNoPage && calls < 10; ++calls) found = f.slab.sparsest_page(c);
  INFO(calls << " calls");
  CHECK(found == PagePool::page_of(refs[0]));
  f.slab.check_invariants();
}
