// What is said to etcd v3 over its HTTP gateway, and what it answers: JSON, with keys and values in
// base64 and 64-bit numbers as texts (etcd's api-spec, "rpc.proto").
//
// Answers come from a network: what is not as it must be is nothing, never an exception, and so is
// what is deeper or has more values than etcd's answers. To read two megabytes takes at most 40
// ms, whatever they are. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace larder::daemon {

constexpr const char* kEtcdGrantPath = "/v3/lease/grant";
constexpr const char* kEtcdKeepAlivePath = "/v3/lease/keepalive";
constexpr const char* kEtcdRevokePath = "/v3/lease/revoke";
constexpr const char* kEtcdPutPath = "/v3/kv/put";
constexpr const char* kEtcdRangePath = "/v3/kv/range";
constexpr const char* kEtcdTxnPath = "/v3/kv/txn";
constexpr const char* kEtcdWatchPath = "/v3/watch";
constexpr const char* kEtcdAuthenticatePath = "/v3/auth/authenticate";

// -- Bodies of requests.

std::string etcd_grant(int64_t seconds);
std::string etcd_lease(int64_t lease);  // to keep it alive, or to revoke it
std::string etcd_put(std::string_view key, std::string_view value, int64_t lease);
// All keys that begin with `prefix`, `most` of them.
std::string etcd_range(std::string_view prefix, size_t most);
// Puts the value if the key was last changed at that revision; 0: if there is none.
std::string etcd_put_if(std::string_view key, uint64_t mod_revision, std::string_view value);
// Puts a key under a lease while another one was last changed at that revision; 0: while it is not
// there.
struct EtcdGuard {
  std::string_view key;
  uint64_t mod_revision = 0;
};
std::string etcd_put_while(const EtcdGuard& guard, std::string_view key, std::string_view value,
                           int64_t lease);
// What happens to keys that begin with `prefix`, from `revision` on.
std::string etcd_watch(std::string_view prefix, uint64_t revision);

std::string etcd_authenticate(std::string_view user, std::string_view password);

// -- Answers.

// What authenticates further requests, as a header carries it.
std::optional<std::string> read_token(std::string_view answer);

std::optional<int64_t> read_granted_lease(std::string_view answer);

// How many seconds a lease that was kept alive has; 0: it is gone.
std::optional<int64_t> read_lease_seconds(std::string_view answer);

// Whether a put that depends on a revision was done.
bool read_succeeded(std::string_view answer);

struct EtcdPair {
  std::string key;
  std::string value;
  uint64_t mod_revision = 0;
  int64_t lease = 0;  // 0: none
};
struct EtcdRange {
  uint64_t revision = 0;  // of the store, when this was so
  bool more = false;      // than were asked for
  std::vector<EtcdPair> pairs;
};
std::optional<EtcdRange> read_range(std::string_view answer);

enum class WatchNews : uint8_t {
  Nothing,  // it has begun, or is alive
  Change,
  Over,  // cancelled, compacted, an error, or not what a watch answers
};
WatchNews read_watch_line(std::string_view line);  // a line of the answer

// What an answer says about why it is none, fit for a log.
std::string read_etcd_error(std::string_view answer);

}  // namespace larder::daemon
