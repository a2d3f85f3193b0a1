#include "daemon/dump.h"

#include <algorithm>
#include <chrono>

namespace larder::daemon {

std::unique_ptr<Dump> Dump::begin(proto::DumpForm form, const proto::ClassList& classes,
                                  std::atomic<uint32_t>& running) {
  if (running.fetch_add(1, std::memory_order_relaxed) >= kMostAtOnce) {
    running.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  return std::unique_ptr<Dump>(new Dump(form, classes, running));
}

Dump::~Dump() { running_.fetch_sub(1, std::memory_order_relaxed); }

bool Dump::write_slice(core::Cache& cache, core::Seconds now, int64_t unix_time_of_zero,
                       proto::ReplyBuffer& out) {
  using Clock = std::chrono::steady_clock;
  const uint32_t dumps = std::max(running_.load(std::memory_order_relaxed), 1u);
  const auto end = Clock::now() + std::chrono::microseconds(kSliceMicroseconds / dumps);
  const size_t start_bytes = out.total_bytes();
  if (!begun_) proto::write_dump_begin(out);
  begun_ = true;
  do {
    const bool more = cache.walk(at_, now, items_);
    for (const core::Item* item : items_) write_item(cache, *item, now, unix_time_of_zero, out);
    if (!more) {
      proto::write_dump_end(form_, out);
      return true;
    }
  } while (out.total_bytes() - start_bytes < kSliceBytes && Clock::now() < end);
  items_.clear();
  return false;
}

void Dump::write_item(const core::Cache& cache, const core::Item& item, core::Seconds now,
                      int64_t unix_time_of_zero, proto::ReplyBuffer& out) const {
  proto::DumpedItem dumped;
  dumped.size_class = cache.class_of(item) + 1;
  if (!classes_.has(dumped.size_class)) return;
  dumped.key = item.key();
  dumped.base64_key = item.base64_key();
  if (form_ == proto::DumpForm::MetaDump) {
    const core::Heat heat = item.heat();
    const core::Seconds expiry = item.expiry();
    dumped.expiry = expiry == core::kNever ? -1 : unix_time_of_zero + expiry;
    dumped.last_access = unix_time_of_zero + now - heat.idle_seconds(now);
    dumped.cas = cache.cas_of(item);
    dumped.fetched = heat.fetched();
    dumped.item_bytes =
        uint64_t{item.stored_bytes()} + item.value_bytes() - item.first_part().size();
    dumped.client_flags = item.client_flags();
  }
  proto::write_dump_item(form_, dumped, out);
}

}  // namespace larder::daemon
