#include "daemon/cluster_etcd.h"

#include <arpa/inet.h>
#include <event2/dns.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <random>
#include <stdexcept>
#include <utility>

#include "daemon/cluster_list.h"

namespace larder::daemon {
namespace {

using Clock = EtcdMember::Clock;
using std::chrono::milliseconds;

constexpr const char* kResolverFile = "/etc/resolv.conf";
constexpr milliseconds kCallTime{2000};
constexpr milliseconds kLongestSleep{3'600'000};

bool is_address(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

timeval to_timeval(milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

// Not options, which everybody on the machine may see.
constexpr const char* kUserVariable = "LARDER_ETCD_USER";
constexpr const char* kPasswordVariable = "LARDER_ETCD_PASSWORD";

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

EtcdMember::Identity identity_of(const Settings& settings) {
  EtcdMember::Identity identity;
  identity.name = settings.cluster_name;
  identity.node = parse_announced(settings.cluster_announce).node;
  identity.lease = std::chrono::seconds(settings.cluster_lease_seconds);
  identity.seed = std::random_device()();
  identity.user = variable(kUserVariable);
  identity.password = variable(kPasswordVariable);
  return identity;
}

}  // namespace

void ClusterEtcd::NamesDeleter::operator()(evdns_base* names) const noexcept {
  evdns_base_free(names, 0);
}

ClusterEtcd::ClusterEtcd(const Settings& settings, EtcdMember::Contents contents,
                         Discovery& discovery, std::function<bool()> serving)
    : addresses_(parse_etcd_addresses(settings.cluster_etcd)),
      call_time_(std::min(kCallTime, milliseconds(settings.cluster_lease_seconds * 1000 / 3))),
      serving_(std::move(serving)),
      member_(identity_of(settings), std::move(contents), discovery) {}

ClusterEtcd::~ClusterEtcd() {
  call_.reset();
  watch_.reset();
  wake_event_.reset();
  // Look-ups that were given up are told so by events, which need the resolver.
  if (names_ != nullptr) event_base_loop(base_, EVLOOP_NONBLOCK);
}

void ClusterEtcd::follow(event_base* base) {
  base_ = base;
  wake_event_ = make_event(base, -1, 0, on_wake_event, this);
  if (!std::all_of(addresses_.begin(), addresses_.end(),
                   [](const EtcdAddress& address) { return is_address(address.host); })) {
    names_.reset(evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE));
    if (names_ == nullptr) {
      throw std::runtime_error("option --cluster-etcd: cannot look up names: out of memory");
    }
    read_resolver_files();
  }
  if (wake_event_ == nullptr) {
    throw std::runtime_error("option --cluster-etcd: cannot wait for anything: out of memory");
  }
  event_active(wake_event_.get(), 0, 0);
}

void ClusterEtcd::withdraw() {
  member_.withdraw();
  if (wake_event_ != nullptr) guarded([this] { step(); });
}

void ClusterEtcd::leave() {
  if (wake_event_ == nullptr) return;
  member_.leave();
  const Clock::time_point until = Clock::now() + kLeaveTime;
  guarded([this] { step(); });
  while (!member_.left() && Clock::now() < until) {
    const timeval rest = to_timeval(std::chrono::duration_cast<milliseconds>(until - Clock::now()) +
                                    milliseconds(1));
    event_add(wake_event_.get(), &rest);
    event_base_loop(base_, EVLOOP_ONCE);
  }
  watch_.reset();
  call_.reset();
}

void ClusterEtcd::on_wake_event(int, short, void* self) {
  auto& etcd = *static_cast<ClusterEtcd*>(self);
  etcd.guarded([&] { etcd.step(); });
}

template <class Work>
void ClusterEtcd::guarded(const Work& work) noexcept {
  try {
    work();
  } catch (const std::bad_alloc&) {
    out_of_memory();
  }
}

void ClusterEtcd::out_of_memory() noexcept {
  call_.reset();
  watch_.reset();
  try {
    member_.failed("out of memory", Clock::now());
  } catch (const std::bad_alloc&) {  // it has failed; there is no memory to say so
  }
  member_.watch_ended(Clock::now());
  connected_.store(member_.connected(), std::memory_order_relaxed);
  const timeval soon = to_timeval(EtcdMember::kShortestPause);  // the member knows for how long
  event_add(wake_event_.get(), &soon);
}

// Asks what is to be asked, as long as nothing is under way.
void ClusterEtcd::step() {
  if (member_.endpoint() != endpoint_) {
    endpoint_ = member_.endpoint();
    if (names_ != nullptr && call_ == nullptr) read_resolver_files();
  }
  if (call_ == nullptr) {
    const auto call = member_.next(Clock::now(), serving_());
    if (call) begin(*call);
  }
  look_after_watch();
  connected_.store(member_.connected(), std::memory_order_relaxed);
  arm();
}

HttpPost::Request ClusterEtcd::request(const EtcdMember::Call& call) const {
  const EtcdAddress& address = addresses_[endpoint_ % addresses_.size()];
  return {address.host, address.port, address.text(), call.path, call.body, call.token};
}

void ClusterEtcd::begin(const EtcdMember::Call& call) {
  HttpPost::Limits limits;
  limits.time = call_time_;
  const auto done = [this](const HttpPost::Result& result) {
    guarded([&] { take_answer(result); });
  };
  try {
    call_ = std::make_unique<HttpPost>(base_, names_.get(), request(call), limits, done);
  } catch (const std::exception& error) {
    member_.failed(error.what(), Clock::now());
  }
}

void ClusterEtcd::take_answer(const HttpPost::Result& result) {
  call_.reset();
  if (result.status != 0) {
    member_.answered(result.status, result.body, Clock::now());
  } else {
    const EtcdAddress& address = addresses_[endpoint_ % addresses_.size()];
    member_.failed(address.text() + ": " + result.error, Clock::now());
  }
  step();
}

void ClusterEtcd::look_after_watch() {
  const bool wanted = member_.wants_watch(Clock::now());
  if (!wanted) watch_.reset();
  if (!wanted || watch_ != nullptr) return;
  lines_.clear();
  HttpPost::Limits limits;
  limits.time = call_time_;
  try {
    watch_ = std::make_unique<HttpPost>(
        base_, names_.get(), request(member_.watch()), limits,
        [this](const HttpPost::Result&) { guarded([this] { end_watch(); }); },
        [this](std::string_view part) { guarded([&] { take_watched(part); }); });
  } catch (const std::exception&) {
    end_watch();
  }
}

void ClusterEtcd::take_watched(std::string_view part) {
  const bool useful = lines_.take(
      part, [this](std::string_view line) { return member_.watch_line(line, Clock::now()); });
  useful ? step() : end_watch();
}

void ClusterEtcd::end_watch() {
  watch_.reset();
  member_.watch_ended(Clock::now());
  step();
}

void ClusterEtcd::arm() {
  const Clock::time_point now = Clock::now();
  const Clock::time_point at = std::clamp(member_.wake_at(), now, now + kLongestSleep);
  const timeval rest =
      to_timeval(std::chrono::duration_cast<milliseconds>(at - now) + milliseconds(1));
  event_add(wake_event_.get(), &rest);
}

// Anew after every failure: they may have changed.
void ClusterEtcd::read_resolver_files() {
  evdns_base_clear_nameservers_and_suspend(names_.get());
  evdns_base_clear_host_addresses(names_.get());
  evdns_base_search_clear(names_.get());
  evdns_base_resolv_conf_parse(names_.get(), DNS_OPTIONS_ALL, kResolverFile);
  evdns_base_resume(names_.get());
}

}  // namespace larder::daemon
