// Dump: one `lru_crawler metadump` or `mgdump` on its way to a client.
//
// It runs on the worker of the connection that asked, in slices between the requests of others, and
// only while the client takes what it is given: between two slices it is a position in the cache
// and the classes asked for, and costs nothing. Every key that is there from the first slice to the
// last comes exactly once, under the value that it has at that moment, however the table grows and
// items move meanwhile; what comes or goes during the dump may or may not be in it (Cache::walk).
//
// One thread, the worker's; write_slice inside a turn.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cache.h"
#include "proto/admin_parser.h"
#include "proto/dump_writer.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

class Dump {
 public:
  // At a time, so that the slices of a pass stay short; the next one is told to come back.
  static constexpr uint32_t kMostAtOnce = 8;

  // Null if so many run already. `running` counts them, and outlives the dump.
  static std::unique_ptr<Dump> begin(proto::DumpForm form, const proto::ClassList& classes,
                                     std::atomic<uint32_t>& running);
  ~Dump();
  Dump(const Dump&) = delete;
  Dump& operator=(const Dump&) = delete;

  // Goes on for kSliceMicroseconds shared among all that run, or until the slice is kSliceBytes
  // long, or to the end; both are exceeded by one step of the walk at most. True when the end has
  // been written. (larder-upkeep --dump, 10 million items, p99 of single gets with a dump over
  // without: slices of 50 us 3.8, of 8 us 1.8, of 2 us 2.0; the dump takes 2.1, 2.9 and 3.2 s.)
  static constexpr uint32_t kSliceMicroseconds = 8;
  static constexpr size_t kSliceBytes = 32 * 1024;
  bool write_slice(core::Cache& cache, core::Seconds now, int64_t unix_time_of_zero,
                   proto::ReplyBuffer& out);

 private:
  Dump(proto::DumpForm form, const proto::ClassList& classes, std::atomic<uint32_t>& running)
      : form_(form), classes_(classes), running_(running) {}
  void write_item(const core::Cache& cache, const core::Item& item, core::Seconds now,
                  int64_t unix_time_of_zero, proto::ReplyBuffer& out) const;

  const proto::DumpForm form_;
  const proto::ClassList classes_;
  std::atomic<uint32_t>& running_;
  core::WalkPoint at_;
  bool begun_ = false;
  std::vector<const core::Item*> items_;  // of one step; empty between slices
};

}  // namespace larder::daemon
