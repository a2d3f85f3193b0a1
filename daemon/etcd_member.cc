#include "daemon/etcd_member.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "daemon/log.h"

namespace larder::daemon {
namespace {

using std::chrono::milliseconds;

constexpr int kOk = 200;
constexpr int kUnauthorized = 401;
constexpr int kNotFound = 404;  // of etcd: there is no such lease

// Room for keys that are none of ours, so that they do not hide nodes.
constexpr size_t kMostKeys = 2 * kMaxClusterNodes;

// Between one node's turn to write the list and the next one's; all are in turn after so many.
constexpr milliseconds kTurn{25};
constexpr size_t kTurns = 20;

// Where the list does not become what this server writes, somebody else has other ideas. After so
// many times it is not written at once.
constexpr unsigned kPatientWrites = 5;

// The longest key of a node, with a fleet's name of 64 bytes, has 338.
constexpr size_t kMostShownBytes = 340;

// So many lines about keys that cannot be used are written in so long a time: a key that changes
// with every read does not fill the log.
constexpr unsigned kMostComplaints = 8;
constexpr std::chrono::seconds kComplaintsSpan{5};

// How often it is looked whether the server serves again.
constexpr milliseconds kIdleLook{500};

// What a list may name as its version. etcd's revisions do not come near it, and above there is
// room for versions that grow.
constexpr uint64_t kMostNamedVersion = Discovery::kMostOrdinaryVersion;

// In the value of a node's key; servers that do not know it take it for a comment.
constexpr std::string_view kIncarnationLine = "# incarnation ";

LogSite trouble_site;
LogSite usable_site;
LogSite list_site;

std::string node_key(const ClusterNode& node) {
  return node.host + ':' + std::to_string(node.port);
}

std::string counted_nodes(size_t count) {
  return std::to_string(count) + (count == 1 ? " node" : " nodes");
}

// 0: it names none.
uint64_t incarnation_of(std::string_view value) {
  if (!value.starts_with(kIncarnationLine)) return 0;
  value.remove_prefix(kIncarnationLine.size());
  uint64_t incarnation = 0;
  std::from_chars(value.data(), value.data() + value.size(), incarnation);
  return incarnation;
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kMostShownBytes)) shown += c > ' ' && c <= '~' ? c : '?';
  return shown;
}

milliseconds pause_after(unsigned failures) {
  const unsigned doublings = std::min(failures, 6u);
  return std::min(EtcdMember::kShortestPause * (1u << doublings) / 2, EtcdMember::kLongestPause);
}

// From half of it to all of it.
milliseconds with_jitter(milliseconds pause, std::minstd_rand& random) {
  const auto half = static_cast<uint64_t>(pause.count() / 2);
  return milliseconds(half + random() % (half + 1));
}

}  // namespace

EtcdMember::EtcdMember(Identity identity, Contents contents, Discovery& discovery)
    : identity_(std::move(identity)),
      prefix_("/larder/" + identity_.name + '/'),
      nodes_prefix_(prefix_ + "nodes/"),
      list_key_(prefix_ + "list"),
      own_key_(nodes_prefix_ + node_key(identity_.node)),
      own_value_(std::string(kIncarnationLine) + std::to_string(contents.incarnation) + '\n' +
                 format_cluster_node(identity_.node)),
      contents_(std::move(contents)),
      third_(milliseconds(identity_.lease) / 3),
      discovery_(discovery),
      random_(static_cast<std::minstd_rand::result_type>(identity_.seed)) {}

// -- What to ask.

std::optional<EtcdMember::Call> EtcdMember::next(Clock::time_point now, bool serving) {
  if (asked_) {
    wake_at_ = Clock::time_point::max();
    return std::nullopt;
  }
  asked_ = choose(now, serving);
  if (!asked_) return std::nullopt;
  if (*asked_ == Ask::Put && !*kept_its_place_) {
    contents_.drop();
    was_outdone_ = false;
  }
  wake_at_ = Clock::time_point::max();
  // From when it is sent: etcd counts from when it has it.
  if (*asked_ == Ask::KeepAlive || *asked_ == Ask::Grant) keep_alive_at_ = now + third_;
  return call_for(*asked_);
}

std::optional<EtcdMember::Ask> EtcdMember::choose(Clock::time_point now, bool serving) {
  wake_at_ = Clock::time_point::max();
  if (leaving_) {
    if (!left_ && lease_ != 0 && reachable_) return Ask::Revoke;
    left_ = true;
    return std::nullopt;
  }
  if (withdrawn_) {
    serving = false;
  } else if (serving == idle_) {
    idle_ = !serving;
    log(LogLevel::Warning, serving ? "etcd: all workers answer again: this server is announced"
                                   : "etcd: a worker hangs: the lease is left to run out");
  }
  if (now < not_before_) {
    wake_by(not_before_);
    return std::nullopt;
  }
  if (token_.empty() && !identity_.user.empty()) return Ask::Authenticate;
  if (serving) {
    if (lease_ == 0) return Ask::Grant;
    if (now >= keep_alive_at_) return Ask::KeepAlive;
    if (!announced_ && !kept_its_place_) read_at_ = std::min(read_at_, last_read_ + after_read_);
    if (!announced_ && kept_its_place_ && now >= put_not_before_) return Ask::Put;
    if (!announced_ && kept_its_place_) wake_by(put_not_before_);
    wake_by(keep_alive_at_);
  } else if (withdrawn_) {
    if (lease_ != 0) return Ask::Revoke;
  } else {
    wake_by(now + kIdleLook);
  }
  if (now >= read_at_) return Ask::Read;
  wake_by(read_at_);
  if (now < watch_not_before_) wake_by(watch_not_before_);
  if (publish_at_ && now >= *publish_at_) return Ask::Publish;
  if (publish_at_) wake_by(*publish_at_);
  return std::nullopt;
}

EtcdMember::Call EtcdMember::call_for(Ask ask) const {
  switch (ask) {
    case Ask::Authenticate:
      return {kEtcdAuthenticatePath, etcd_authenticate(identity_.user, identity_.password), ""};
    case Ask::Grant:
      return {kEtcdGrantPath, etcd_grant(identity_.lease.count()), token_};
    case Ask::KeepAlive:
      return {kEtcdKeepAlivePath, etcd_lease(lease_), token_};
    case Ask::Put:
      if (!*kept_its_place_) return {kEtcdPutPath, etcd_put(own_key_, own_value_, lease_), token_};
      return {kEtcdTxnPath,
              etcd_put_while({list_key_, seen_->list_mod_revision}, own_key_, own_value_, lease_),
              token_};
    case Ask::Read:
      return {kEtcdRangePath, etcd_range(prefix_, kMostKeys), token_};
    case Ask::Publish:
      return {kEtcdTxnPath, etcd_put_if(list_key_, seen_->list_mod_revision, new_list()), token_};
    case Ask::Revoke:
      break;
  }
  return {kEtcdRevokePath, etcd_lease(lease_), token_};
}

void EtcdMember::wake_by(Clock::time_point when) noexcept { wake_at_ = std::min(wake_at_, when); }

void EtcdMember::read_soon(Clock::time_point now) noexcept {
  read_at_ = std::min(read_at_, std::max(now, last_read_ + after_read_));
  change_was_told_ = true;
}

// -- What came of it.

void EtcdMember::answered(int status, std::string_view body, Clock::time_point now) {
  const std::optional<Ask> asked = asked_;
  if (!asked) return;
  if (*asked == Ask::Revoke && leaving_) {
    asked_.reset();
    left_ = true;
    return;
  }
  if (status == kNotFound &&
      (*asked == Ask::KeepAlive || *asked == Ask::Put || *asked == Ask::Revoke)) {
    asked_.reset();
    return lose_lease(now);
  }
  if (status == kUnauthorized) token_.clear();  // they grow old
  if (status != kOk) {
    return failed("it answers with " + std::to_string(status) + "; " + read_etcd_error(body), now);
  }
  const char* const kNonsense = "its answer is not understood";
  switch (*asked) {
    case Ask::Authenticate: {
      std::optional<std::string> token = read_token(body);
      if (!token) return failed(kNonsense, now);
      token_ = std::move(*token);
      break;
    }
    case Ask::Grant: {
      const std::optional<int64_t> lease = read_granted_lease(body);
      if (!lease) return failed(kNonsense, now);
      lease_ = *lease;
      announced_ = false;
      has_put_ = false;
      kept_its_place_.reset();
      break;
    }
    case Ask::KeepAlive: {
      const std::optional<int64_t> seconds = read_lease_seconds(body);
      if (!seconds) return failed(kNonsense, now);
      if (*seconds == 0) lose_lease(now);
      break;
    }
    case Ask::Put: {
      const bool is_put = !*kept_its_place_ || read_succeeded(body);
      kept_its_place_.reset();
      read_soon(now);
      if (!is_put) break;  // the list has changed
      announced_ = has_put_ = was_announced_ = true;
      ++puts_in_vain_;  // unless the next read says otherwise
      break;
    }
    case Ask::Read: {
      std::optional<EtcdRange> range = read_range(body);
      if (!range) return failed(kNonsense, now);
      asked_.reset();
      reachable_ = true;
      after_read_ = kBetweenReads * static_cast<int>(1 + body.size() / kReadBytes);
      return use(std::move(*range), now);
    }
    case Ask::Publish:  // by this server or by another one, it has been written
      publish_failed_ = false;
      publish_at_.reset();
      ++writes_in_vain_;  // unless the next read says otherwise
      read_soon(now);
      break;
    case Ask::Revoke:
      lease_ = 0;
      announced_ = false;
      read_soon(now);
      break;
  }
  asked_.reset();
  reachable_ = true;
}

void EtcdMember::failed(const std::string& why, Clock::time_point now) {
  if (asked_ == Ask::Put) kept_its_place_.reset();  // it may have been put, and taken away since
  if (asked_ == Ask::Publish) publish_failed_ = true;
  asked_.reset();
  reachable_ = false;
  ++failures_;
  ++failures_in_all_;
  not_before_ = now + with_jitter(std::min(pause_after(failures_), third_), random_);
  // First of all the lease, which had to wait.
  keep_alive_at_ = now;
  read_soon(now);
  if (leaving_) left_ = true;
  const bool is_news = connected_ || !told_of_trouble_;
  connected_ = false;
  told_of_trouble_ = true;
  if (is_news) {
    const auto published = discovery_.published();
    log(LogLevel::Warning, trouble_site,
        "cannot use etcd: " + why + "; " +
            (published == nullptr
                 ? std::string("there is no list of nodes yet")
                 : "version " + std::to_string(published->list.version) + " stays in force"));
  }
}

void EtcdMember::lose_lease(Clock::time_point now) {
  lease_ = 0;
  announced_ = false;
  reachable_ = true;
  if (withdrawn_) return read_soon(now);
  not_before_ = now + with_jitter(pause_after(++failures_), random_);
  if (discovery_.published() != nullptr) settled_at_ = now + identity_.lease;
  log(LogLevel::Info, "etcd: the lease of this server has run out: it is announced anew");
}

// -- What was read.

void EtcdMember::use(EtcdRange range, Clock::time_point now) {
  last_read_ = now;
  read_at_ = now + third_;
  if (range.more || range.pairs.size() > kMostKeys) {
    return failed("there are more than " + std::to_string(kMostKeys) + " keys under " + prefix_,
                  now);
  }
  std::sort(range.pairs.begin(), range.pairs.end(),
            [](const EtcdPair& a, const EtcdPair& b) { return a.key < b.key; });
  Snapshot snapshot = understand(range);
  if (snapshot.nodes.size() > kMaxClusterNodes) {
    return failed("there are more than " + std::to_string(kMaxClusterNodes) + " nodes", now);
  }
  complain(snapshot.complaints, now);
  // A watch that has not told of this is open at this end only.
  const bool changed = seen_ && seen_->keys != snapshot.keys;
  if (changed && !change_was_told_) watch_not_before_ = now + kShortestPause;
  change_was_told_ = false;
  seen_ = std::move(snapshot);
  look_for_own_key(range, now);
  judge(now);
  if (publish_failed_) return;
  failures_ = 0;
  set_connected(seen_->nodes.size());
}

EtcdMember::Snapshot EtcdMember::understand(const EtcdRange& range) const {
  Snapshot snapshot;
  snapshot.revision = range.revision;
  const auto refuse = [&](const EtcdPair& pair, const std::string& why) {
    snapshot.complaints.insert('\'' + printable(pair.key) + "': " + why);
    if (pair.key != list_key_) snapshot.unusable.push_back(pair.key);
  };
  for (const EtcdPair& pair : range.pairs) {
    snapshot.keys.emplace_back(pair.key, pair.mod_revision);
    if (pair.key == own_key_) snapshot.own_incarnation = incarnation_of(pair.value);
    const bool is_list = pair.key == list_key_;
    if (!is_list && !pair.key.starts_with(nodes_prefix_)) continue;
    ParsedClusterList parsed = parse_cluster_list(pair.value);
    if (is_list) {
      snapshot.list_mod_revision = pair.mod_revision;
      if (parsed.error.empty() && parsed.list.version > kMostNamedVersion) {
        parsed.error = "its version is larger than " + std::to_string(kMostNamedVersion);
      }
      if (!parsed.error.empty()) {
        refuse(pair, parsed.error);
        continue;
      }
      snapshot.list = std::move(parsed.list);
      snapshot.list.version = std::max(snapshot.list.version, pair.mod_revision);
    } else if (!parsed.error.empty()) {
      refuse(pair, parsed.error);
    } else if (parsed.list.nodes.size() != 1 || parsed.list.version != 0 ||
               pair.key != nodes_prefix_ + node_key(parsed.list.nodes.front())) {
      refuse(pair, "its value is not the node that its key names");
    } else {
      snapshot.nodes.push_back(std::move(parsed.list.nodes.front()));
    }
  }
  return snapshot;
}

// Of what was read. Without a list in etcd, which has lost its data, or never had any, the one in
// force counts.
bool EtcdMember::has_kept_its_place() const {
  if (was_outdone_) return false;
  const auto published = discovery_.published();
  const ClusterList& list =
      seen_->list_mod_revision == 0 && published != nullptr ? published->list : seen_->list;
  if (std::find(list.nodes.begin(), list.nodes.end(), identity_.node) == list.nodes.end()) {
    return false;
  }
  const uint64_t holder = seen_->own_incarnation;
  if (was_announced_) return holder == 0 || holder == contents_.incarnation;
  if (!contents_.inherited) return true;
  const Inherited& inherited = *contents_.inherited;
  if (holder != 0) return holder == inherited.incarnation;
  return inherited.list_version != 0 && inherited.list_version == list.version;
}

// Its key may be gone, or overwritten, by somebody's hand: then it is put again. Or it may be
// another server's by now: one that is announced as the same. The two do not fight for it, but when
// the other goes its place is taken.
void EtcdMember::look_for_own_key(const EtcdRange& range, Clock::time_point now) {
  if (lease_ == 0) return;
  const auto own = std::find_if(range.pairs.begin(), range.pairs.end(),
                                [&](const EtcdPair& pair) { return pair.key == own_key_; });
  const bool there = own != range.pairs.end();
  // Before the first put it is that of a process before this one.
  const bool outdone = has_put_ && there && own->lease != lease_ && !is_unusable(own_key_);
  if (outdone && !outdone_) {
    log(LogLevel::Warning, "etcd: another server is announced as " + node_key(identity_.node) +
                               ", too: see option --cluster-announce");
  }
  outdone_ = outdone;
  was_outdone_ = was_outdone_ || outdone;
  announced_ = outdone || (there && own->lease == lease_ && own->value == own_value_);
  kept_its_place_.reset();
  if (announced_ && !outdone) has_put_ = was_announced_ = true;
  if (!announced_) kept_its_place_ = has_kept_its_place();
  if (announced_) puts_in_vain_ = 0;
  if (puts_in_vain_ > 0) put_not_before_ = now + with_jitter(pause_after(puts_in_vain_), random_);
}

bool EtcdMember::is_unusable(const std::string& key) const {
  return std::binary_search(seen_->unusable.begin(), seen_->unusable.end(), key);
}

bool EtcdMember::awaits_repair(const Discovery::Published& published) const {
  return std::any_of(
      published.list.nodes.begin(), published.list.nodes.end(),
      [&](const ClusterNode& node) { return is_unusable(nodes_prefix_ + node_key(node)); });
}

// Publishes the list that was read, or has this server write it, or neither.
void EtcdMember::judge(Clock::time_point now) {
  const auto published = discovery_.published();
  const uint64_t version = published == nullptr ? 0 : published->list.version;
  const bool agreed = !seen_->nodes.empty() && seen_->list.nodes == seen_->nodes;
  if (agreed && seen_->list.version >= version) writes_in_vain_ = 0;
  if (agreed && seen_->list.version > version) {
    ClusterList list = seen_->list;
    discovery_.offer(list);
    log(LogLevel::Info, list_site,
        "etcd: version " + std::to_string(list.version) + " has " +
            counted_nodes(list.nodes.size()));
  }
  if (published == nullptr || !awaits_repair(*published)) {
    repaired_by_.reset();
  } else if (!repaired_by_) {
    repaired_by_ = now + identity_.lease;
  }
  const auto self = std::find(seen_->nodes.begin(), seen_->nodes.end(), identity_.node);
  if (!list_is_due() || self == seen_->nodes.end()) {
    publish_at_.reset();
    publish_failed_ = false;
    return;
  }
  const bool lacks_some =
      published != nullptr &&
      std::any_of(
          published->list.nodes.begin(), published->list.nodes.end(), [&](const ClusterNode& node) {
            return std::find(seen_->nodes.begin(), seen_->nodes.end(), node) == seen_->nodes.end();
          });
  const Clock::time_point not_without = std::max(settled_at_, repaired_by_.value_or(settled_at_));
  if (lacks_some && now < not_without) {
    publish_at_ = not_without;
    return;
  }
  const size_t turn = std::min(static_cast<size_t>(self - seen_->nodes.begin()), kTurns);
  Clock::time_point at = now + kTurn * turn;
  if (writes_in_vain_ > kPatientWrites) at += kLongestPause;
  publish_at_ = publish_at_ ? std::min(*publish_at_, at) : at;
}

bool EtcdMember::list_is_due() const {
  if (seen_->list.nodes != seen_->nodes) return true;
  const auto published = discovery_.published();
  if (published == nullptr || seen_->list.version > published->list.version) return false;
  return seen_->list.version < published->list.version ||
         seen_->list.nodes != published->list.nodes;
}

// The key will have a later revision than this one, which is enough unless versions are ahead.
std::string EtcdMember::new_list() const {
  const auto published = discovery_.published();
  uint64_t version = seen_->list.version;
  if (published != nullptr) version = std::max(version, published->list.version);
  std::string text;
  if (version > seen_->revision) text = std::to_string(version + 1) + '\n';
  for (const ClusterNode& node : seen_->nodes) {
    if (&node != &seen_->nodes.front()) text += ' ';
    text += format_cluster_node(node);
  }
  return text += '\n';
}

void EtcdMember::complain(const std::set<std::string>& complaints, Clock::time_point now) {
  std::erase_if(complained_, [&](const std::string& one) { return !complaints.contains(one); });
  for (const std::string& complaint : complaints) {
    if (complained_.contains(complaint)) continue;
    if (now >= complaints_counted_until_) {
      complaints_counted_until_ = now + kComplaintsSpan;
      complaint_lines_ = 0;
    }
    if (complaint_lines_ == kMostComplaints) return;  // a later read logs the rest
    ++complaint_lines_;
    log(LogLevel::Warning, "etcd: cannot use the key " + complaint);
    complained_.insert(complaint);
  }
}

void EtcdMember::set_connected(size_t nodes) {
  if (connected_) return;
  connected_ = true;
  log(told_of_trouble_ ? LogLevel::Warning : LogLevel::Info, usable_site,
      "etcd is used: " + prefix_ + " has " + counted_nodes(nodes));
  told_of_trouble_ = false;
}

// -- The watch.

bool EtcdMember::wants_watch(Clock::time_point now) const noexcept {
  return seen_ && reachable_ && !leaving_ && now >= watch_not_before_;
}

EtcdMember::Call EtcdMember::watch() const {
  return {kEtcdWatchPath, etcd_watch(prefix_, seen_->revision + 1), token_};
}

bool EtcdMember::watch_line(std::string_view line, Clock::time_point now) {
  switch (read_watch_line(line)) {
    case WatchNews::Over:
      return false;
    case WatchNews::Change:
      read_soon(now);
      break;
    case WatchNews::Nothing:
      break;
  }
  watch_failures_ = 0;
  return true;
}

void EtcdMember::watch_ended(Clock::time_point now) {
  ++watch_failures_;
  watch_not_before_ = now + with_jitter(pause_after(watch_failures_), random_);
  read_soon(now);
}

}  // namespace larder::daemon
