// ClusterEtcd: the list of nodes as etcd has it (--cluster-etcd), and this server's place in it.
//
// It lends a mouth and ears to EtcdMember, which says what to ask: requests over etcd's HTTP
// gateway, in the server's event base. The thread that accepts clients is the one that keeps the
// lease alive, so that whoever stops the process (or that thread) stops that, too; and as long as a
// worker hangs nothing is kept alive either. Nothing here blocks: names are looked up by libevent's
// resolver, which knows /etc/resolv.conf and /etc/hosts.
//
// One thread, that of the event base; connected() any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/discovery.h"
#include "daemon/etcd_address.h"
#include "daemon/etcd_member.h"
#include "daemon/event_ptr.h"
#include "daemon/http_post.h"
#include "daemon/line_stream.h"
#include "daemon/settings.h"

namespace larder::daemon {

class ClusterEtcd {
 public:
  // How long leaving may delay the end of a server.
  static constexpr std::chrono::milliseconds kLeaveTime{1000};

  // contents   its drop() is called by this thread
  // serving    whether clients are served; asked often
  // discovery  must outlive it
  ClusterEtcd(const Settings& settings, EtcdMember::Contents contents, Discovery& discovery,
              std::function<bool()> serving);
  ~ClusterEtcd();
  ClusterEtcd(const ClusterEtcd&) = delete;
  ClusterEtcd& operator=(const ClusterEtcd&) = delete;

  // Begins; it must go before the base does. Throws std::runtime_error if memory ran out.
  void follow(event_base* base);

  // Takes this server off the list, as soon as etcd can be told, and goes on following the list.
  void withdraw();

  // Takes this server out of the list, if etcd can be told within kLeaveTime. Meanwhile the base's
  // events are served.
  void leave();

  bool connected() const noexcept { return connected_.load(std::memory_order_relaxed); }

 private:
  struct NamesDeleter {
    void operator()(evdns_base* names) const noexcept;
  };

  static void on_wake_event(int fd, short what, void* self);

  // Does what an event brings. Where memory runs out meanwhile, the call and the watch that are
  // under way are given up, and the member asks again after its pause.
  template <class Work>
  void guarded(const Work& work) noexcept;
  void out_of_memory() noexcept;

  void step();
  void begin(const EtcdMember::Call& call);
  void take_answer(const HttpPost::Result& result);
  void look_after_watch();
  void take_watched(std::string_view part);
  void end_watch();
  void arm();
  void read_resolver_files();
  HttpPost::Request request(const EtcdMember::Call& call) const;

  const std::vector<EtcdAddress> addresses_;
  const std::chrono::milliseconds call_time_;
  const std::function<bool()> serving_;
  EtcdMember member_;
  size_t endpoint_ = 0;  // as the member had it last
  event_base* base_ = nullptr;
  std::unique_ptr<evdns_base, NamesDeleter> names_;  // null if all are addresses
  std::unique_ptr<HttpPost> call_;
  std::unique_ptr<HttpPost> watch_;
  LineStream lines_;  // of the watch
  EventPtr wake_event_;
  std::atomic<bool> connected_{false};  // a copy of the member's; a figure
};

}  // namespace larder::daemon
