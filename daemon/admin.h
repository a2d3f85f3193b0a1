// Admin: runs the operator's commands, `lru_crawler`, `slabs` and `lru`.
//
// One thread, its worker's, which has one beside its executor. What they set is shared (Tuning);
// what they mean for our engine stands in daemon/README.md.
#pragma once

#include <memory>

#include "core/cache.h"
#include "daemon/dump.h"
#include "proto/admin_parser.h"
#include "proto/command.h"
#include "proto/reply.h"

namespace larder::daemon {

class ServerControl;
struct Tuning;

class Admin {
 public:
  enum class Dumps : uint8_t {
    Possible,
    Pipelined,   // not now: replies to earlier commands of the connection have not been sent
    Impossible,  // there is no connection that a dump could go on with
  };

  Admin(core::Cache& cache, ServerControl& control) : cache_(cache), control_(control) {}

  // The reply is reset and says Ok already.
  //
  // Not null: a dump begins. Then there is nothing to answer; the dump says it all.
  [[nodiscard]] std::unique_ptr<Dump> run(const proto::Command& command, Dumps dumps,
                                          proto::Reply& reply);

 private:
  void run_crawler(const proto::AdminRequest& request, Tuning& tuning, proto::Reply& reply);
  void crawl(const proto::AdminRequest& request, Tuning& tuning, proto::Reply& reply);
  std::unique_ptr<Dump> begin_dump(const proto::AdminRequest& request, Dumps dumps, Tuning& tuning,
                                   proto::Reply& reply);
  void run_slabs(const proto::AdminRequest& request, Tuning& tuning, proto::Reply& reply);
  void reassign(const proto::AdminRequest& request, proto::Reply& reply);
  void run_lru(const proto::AdminRequest& request, Tuning& tuning, proto::Reply& reply);
  uint32_t largest_class() const;  // that may be named in a list

  core::Cache& cache_;
  ServerControl& control_;
};

}  // namespace larder::daemon
