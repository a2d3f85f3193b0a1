#include "daemon/etcd_member.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "daemon/log.h"
#include "proto/base64.h"

namespace larder::daemon {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Time = EtcdMember::Clock::time_point;

constexpr seconds kLease{3};
constexpr seconds kAgree{2};

std::string encoded(const std::string& bytes) {
  std::string text(proto::base64_encoded_bytes(bytes.size()), '\0');
  proto::base64_encode(bytes, text.data());
  return text;
}

std::string decoded(std::string text) {
  text.resize(proto::base64_decode_in_place(text.data(), text.size()));
  return text;
}

// etcd as far as it is asked: keys with revisions, leases that run out.
class FakeEtcd {
 public:
  struct Key {
    std::string value;
    uint64_t revision = 0;
    int64_t lease = 0;
  };

  std::string answer(const EtcdMember::Call& call, Time now, int& status) {
    const json asked = json::parse(call.body);
    const std::string path = call.path;
    status = 200;
    if (path == kEtcdGrantPath) {
      const int64_t id = ++last_lease_;
      leases_[id] = {seconds(number(asked["TTL"])), now + seconds(number(asked["TTL"]))};
      return json{{"ID", std::to_string(id)}}.dump();
    }
    if (path == kEtcdKeepAlivePath || path == kEtcdRevokePath) {
      const auto lease = leases_.find(number(asked["ID"]));
      if (path == kEtcdRevokePath) {
        if (lease != leases_.end()) end_lease(lease->first);
        return "{}";
      }
      if (lease == leases_.end()) return R"({"result":{}})";
      lease->second.ends = now + lease->second.span;
      return R"({"result":{"TTL":"3"}})";
    }
    if (path == kEtcdPutPath) {
      const int64_t lease = number(asked["lease"]);
      if (leases_.count(lease) == 0) {
        status = 404;
        return R"({"error":"etcdserver: requested lease not found","code":5})";
      }
      ++puts_;
      if (!forgets_puts) put(decoded(asked["key"]), decoded(asked["value"]), lease);
      return "{}";
    }
    if (path == kEtcdTxnPath) {
      const json& compare = asked["compare"][0];
      const auto key = keys_.find(decoded(compare["key"]));
      const uint64_t revision = key == keys_.end() ? 0 : key->second.revision;
      if (revision != static_cast<uint64_t>(number(compare["mod_revision"]))) return "{}";
      const json& wanted = asked["success"][0]["request_put"];
      const int64_t lease = wanted.contains("lease") ? number(wanted["lease"]) : 0;
      if (lease != 0 && leases_.count(lease) == 0) {
        status = 404;
        return R"({"error":"etcdserver: requested lease not found","code":5})";
      }
      if (lease != 0) ++puts_;
      if (lease == 0 || !forgets_puts) put(decoded(wanted["key"]), decoded(wanted["value"]), lease);
      return R"({"succeeded":true})";
    }
    REQUIRE(path == kEtcdRangePath);
    ++reads_;
    json kvs = json::array();
    for (const auto& pair : keys_) {
      kvs.push_back({{"key", encoded(pair.first)},
                     {"value", encoded(pair.second.value)},
                     {"mod_revision", std::to_string(pair.second.revision)},
                     {"lease", std::to_string(pair.second.lease)}});
    }
    return json{{"header", {{"revision", std::to_string(revision_)}}}, {"kvs", kvs}}.dump();
  }

  void put(const std::string& key, const std::string& value, int64_t lease = 0) {
    keys_[key] = {value, ++revision_, lease};
  }
  void remove(const std::string& key) {
    if (keys_.erase(key) > 0) ++revision_;
  }
  void expire(Time now) {
    std::vector<int64_t> over;
    for (const auto& lease : leases_) {
      if (lease.second.ends < now) over.push_back(lease.first);
    }
    for (const int64_t lease : over) end_lease(lease);
  }
  void bump() { ++revision_; }  // by a key elsewhere
  void lose_data() {
    keys_.clear();
    leases_.clear();
    revision_ = 1;
  }
  void extend_leases(Time now) {  // as etcd does when it starts
    for (auto& lease : leases_) lease.second.ends = now + lease.second.span;
  }

  bool forgets_puts = false;  // though it says that it has done them

  size_t puts() const { return puts_; }
  size_t reads() const { return reads_; }
  uint64_t revision() const { return revision_; }
  const std::map<std::string, Key>& keys() const { return keys_; }

 private:
  struct Lease {
    seconds span;
    Time ends;
  };
  static int64_t number(const json& text) { return std::stoll(text.get<std::string>()); }
  void end_lease(int64_t id) {
    leases_.erase(id);
    for (auto key = keys_.begin(); key != keys_.end();) {
      key = key->second.lease == id ? keys_.erase(key) : std::next(key);
    }
    ++revision_;
  }

  size_t puts_ = 0;
  size_t reads_ = 0;
  uint64_t revision_ = 1;
  int64_t last_lease_ = 100;
  std::map<std::string, Key> keys_;
  std::map<int64_t, Lease> leases_;
};

ClusterNode node_of(size_t number) { return {"n" + std::to_string(number), "", 11211}; }

EtcdMember::Contents started_empty() {
  return {999, std::nullopt, [] {}};
}

// Some members and an etcd, with time that is made, and a network that delays, loses and breaks.
class Fleet {
 public:
  explicit Fleet(uint32_t seed = 1) : random_(seed) { set_log_verbosity(-1); }
  ~Fleet() { set_log_verbosity(0); }

  struct Member {
    size_t number = 0;
    uint64_t incarnation = 0;
    Discovery discovery;
    std::unique_ptr<EtcdMember> member;
    bool serving = true;
    bool withdrawn = false;
    bool stopped = false;  // as by SIGSTOP
    size_t drops = 0;      // how often it has dropped all items
    bool watching = false;
    uint64_t told_of = 0;  // the revision that its watch has told

    struct Event {
      Time at;
      std::function<void()> what;
    };
    std::vector<Event> events;  // that are on their way to it or to etcd

    std::string text() const {
      const auto published = discovery.published();
      return published == nullptr ? "" : published->text;
    }
    uint64_t version() const {
      const auto published = discovery.published();
      return published == nullptr ? 0 : published->list.version;
    }
  };

  Member& add() { return add(++last_number_, std::nullopt); }
  // A process that takes the place of one before it, perhaps with the items of that.
  Member& add(size_t number, std::optional<EtcdMember::Inherited> inherited) {
    auto& m = *members_.emplace_back(std::make_unique<Member>());
    m.number = number;
    EtcdMember::Identity identity;
    identity.name = "fleet";
    identity.node = node_of(m.number);
    identity.lease = kLease;
    identity.seed = random_();
    EtcdMember::Contents contents{++last_incarnation_, inherited, [&m] { ++m.drops; }};
    m.incarnation = contents.incarnation;
    m.member = std::make_unique<EtcdMember>(identity, contents, m.discovery);
    return m;
  }
  void kill(size_t index) { members_.erase(members_.begin() + static_cast<ptrdiff_t>(index)); }
  size_t size() const { return members_.size(); }
  Member& at(size_t index) { return *members_[index]; }

  void run(milliseconds time) {
    for (const Time until = now + time; now < until; now += kStep) step();
  }
  // Runs until all say the same, which are those who are here.
  bool agrees(milliseconds within) {
    for (const Time until = now + within; now < until; now += kStep) {
      step();
      if (all_agree()) return true;
    }
    return false;
  }
  bool all_agree() {
    std::vector<std::pair<std::string, ClusterNode>> expected;
    for (const auto& m : members_) {
      if (m->stopped || !m->serving || m->withdrawn) continue;
      const ClusterNode node = node_of(m->number);
      expected.emplace_back(node.host, node);
    }
    std::sort(expected.begin(), expected.end(),
              [](const auto& a, const auto& b) { return a.first + ':' < b.first + ':'; });
    for (const auto& m : members_) {
      if (m->stopped) continue;
      const auto published = m->discovery.published();
      if (published == nullptr || published->text != members_.front()->text()) return false;
      if (published->list.nodes.size() != expected.size()) return false;
      for (size_t i = 0; i < expected.size(); ++i) {
        if (!(published->list.nodes[i] == expected[i].second)) return false;
      }
    }
    return true;
  }

  FakeEtcd etcd;
  Time now{seconds(1000)};
  bool reachable = true;
  bool watches_tell = true;
  bool one_text_a_version = true;  // is to be held to
  unsigned failures_percent = 0;
  std::minstd_rand random_;

 private:
  static constexpr milliseconds kStep{5};

  milliseconds delay() { return milliseconds(1 + random_() % 15); }
  bool fails() { return !reachable || random_() % 100 < failures_percent; }

  void step() {
    if (reachable) etcd.expire(now);
    for (auto& m : members_) {
      if (m->stopped) continue;
      deliver(*m);
      converse(*m);
      watch(*m);
      check(*m);
    }
  }

  void deliver(Member& m) {
    std::vector<Member::Event> due;
    std::vector<Member::Event> later;
    for (auto& event : m.events) (event.at <= now ? due : later).push_back(std::move(event));
    m.events = std::move(later);
    for (auto& event : due) event.what();
  }

  void converse(Member& m) {
    const auto call = m.member->next(now, m.serving);
    if (!call) return;
    const EtcdMember::Call asked = *call;
    m.events.push_back({now + delay(), [this, &m, asked] {
                          if (fails()) return m.member->failed("it is away", now);
                          int status = 0;
                          const std::string body = etcd.answer(asked, now, status);
                          m.events.push_back({now + delay(), [this, &m, status, body] {
                                                if (fails()) return m.member->failed("lost", now);
                                                m.member->answered(status, body, now);
                                              }});
                        }});
  }

  void watch(Member& m) {
    const bool wanted = m.member->wants_watch(now);
    if (wanted && !m.watching) m.told_of = etcd.revision();
    if (m.watching && wanted && fails()) {
      m.member->watch_ended(now);
      m.watching = false;
      return;
    }
    m.watching = wanted;
    if (!wanted || !watches_tell || m.told_of == etcd.revision()) return;
    m.told_of = etcd.revision();
    m.events.push_back({now + delay(), [this, &m] {
                          CHECK(m.member->watch_line(R"({"result":{"events":[{}]}})", now));
                        }});
  }

  void check(Member& m) {
    const std::string text = m.text();
    if (text.empty()) return;
    auto& before = versions_[m.number];
    if (m.version() < before) FAIL("the version went back");
    before = m.version();
    auto& known = texts_.try_emplace(m.version(), text).first->second;
    if (one_text_a_version && known != text) FAIL("two lists under one version");
  }

  size_t last_number_ = 0;
  uint64_t last_incarnation_ = 1'000;
  std::vector<std::unique_ptr<Member>> members_;
  std::map<size_t, uint64_t> versions_;
  std::map<uint64_t, std::string> texts_;
};

TEST_CASE("a member is announced, and its list's version is the revision of the list") {
  Fleet fleet;
  auto& a = fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const auto& keys = fleet.etcd.keys();
  CHECK(keys.at("/larder/fleet/nodes/n1:11211").value == "# incarnation 1001\nn1||11211");
  CHECK(keys.at("/larder/fleet/nodes/n1:11211").lease != 0);
  CHECK(keys.at("/larder/fleet/list").value == "n1||11211\n");
  CHECK(keys.at("/larder/fleet/list").lease == 0);
  CHECK(a.version() == keys.at("/larder/fleet/list").revision);
  CHECK(a.member->connected());
  const std::string text = a.text();
  for (int i = 0; i < 50; ++i) fleet.etcd.bump();
  fleet.run(5 * kLease);
  CHECK(a.text() == text);
}

TEST_CASE("members agree on list and version whatever comes and goes") {
  const uint32_t seed = GENERATE(range(1u, 25u));
  INFO("seed " << seed);
  Fleet fleet(seed);
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  for (int round = 0; round < 12; ++round) {
    fleet.failures_percent = fleet.random_() % 2 == 0 ? 0 : 20;
    switch (fleet.random_() % 6) {
      case 0:
        if (fleet.size() > 2) fleet.kill(fleet.random_() % fleet.size());
        break;
      case 1:
        fleet.at(fleet.random_() % fleet.size()).stopped ^= true;
        break;
      case 2:
        for (int i = 0; i < 20; ++i) fleet.etcd.bump();
        break;
      case 3:
        fleet.etcd.put("/larder/fleet/nodes/x:1", "nonsense");
        break;
      case 4:
        fleet.etcd.put("/larder/fleet/list", fleet.random_() % 2 == 0 ? "nonsense" : "x||1\n");
        break;
      default:
        fleet.add();
    }
    fleet.run(milliseconds(fleet.random_() % 3000));
  }
  fleet.failures_percent = 0;
  for (size_t i = 0; i < fleet.size(); ++i) fleet.at(i).stopped = false;
  REQUIRE(fleet.agrees(2 * kLease + kAgree));
  fleet.run(kLease);
  CHECK(fleet.all_agree());
  CHECK(fleet.at(0).version() == fleet.etcd.keys().at("/larder/fleet/list").revision);

  fleet.add();
  CHECK(fleet.agrees(kAgree));
  fleet.at(1).member->leave();
  fleet.at(1).stopped = false;
  fleet.run(milliseconds(100));
  CHECK(fleet.at(1).member->left());
  fleet.kill(1);
  CHECK(fleet.agrees(kAgree));
  fleet.kill(0);
  CHECK(fleet.agrees(kLease + kAgree));
}

TEST_CASE(
    "a list written by hand is published under its revision, also if it names a smaller version") {
  Fleet fleet;
  auto& a = fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  for (int i = 0; i < 20; ++i) fleet.etcd.bump();
  const std::string by_hand = "3\nn1||11211\n";
  fleet.etcd.put("/larder/fleet/list", by_hand);
  const uint64_t revision = fleet.etcd.keys().at("/larder/fleet/list").revision;
  REQUIRE(revision > 3);
  fleet.run(5 * kLease);
  CHECK(a.version() == revision);
  CHECK(fleet.etcd.keys().at("/larder/fleet/list").value ==
        by_hand);  // nobody had to write it anew
}

TEST_CASE("of a prefix that never rests the less is read the longer it is") {
  const auto reads_in = [](seconds time, size_t bytes) {
    Fleet fleet;
    fleet.add();
    REQUIRE(fleet.agrees(kAgree));
    for (size_t i = 0; i * 100'000 < bytes; ++i) {
      fleet.etcd.put("/larder/fleet/other/" + std::to_string(i), std::string(100'000, 'x'));
    }
    const size_t before = fleet.etcd.reads();
    for (const Time until = fleet.now + time; fleet.now < until;) {
      fleet.etcd.bump();
      fleet.run(milliseconds(5));
    }
    return fleet.etcd.reads() - before;
  };
  const size_t short_reads = reads_in(seconds(10), 0);
  CHECK(short_reads > 100);
  CHECK(short_reads <= seconds(10) / EtcdMember::kBetweenReads + 1);
  // A million bytes are 1.3 in base64, and so 21 times kReadBytes.
  const size_t long_reads = reads_in(seconds(10), 1'000'000);
  CHECK(long_reads > 5);
  CHECK(long_reads <= seconds(10) / (20 * EtcdMember::kBetweenReads) + 1);
}

TEST_CASE("without a watch that tells, a change is read with the next look") {
  Fleet fleet;
  fleet.watches_tell = false;
  for (int i = 0; i < 3; ++i) fleet.add();
  CHECK(fleet.agrees(kAgree + kLease));
  fleet.kill(1);
  CHECK(fleet.agrees(2 * kLease + kAgree));
}

TEST_CASE("a member that does not serve leaves the list, and comes back when it does") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  fleet.at(1).serving = false;
  CHECK(fleet.agrees(kLease + kAgree));
  CHECK(fleet.at(1).text() == fleet.at(0).text());  // it follows all the same
  fleet.at(1).serving = true;
  CHECK(fleet.agrees(kAgree));
}

TEST_CASE("a member that withdraws is off the list at once and follows it") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const std::string key = "/larder/fleet/nodes/n2:11211";
  REQUIRE(fleet.etcd.keys().contains(key));
  fleet.at(1).member->withdraw();
  fleet.run(milliseconds(100));
  CHECK_FALSE(fleet.etcd.keys().contains(key));
  fleet.at(1).withdrawn = true;
  CHECK(fleet.agrees(kAgree));
  fleet.add();
  CHECK(fleet.agrees(kAgree));
  fleet.run(2 * kLease);
  CHECK(fleet.all_agree());
  CHECK(fleet.at(1).member->connected());
  CHECK_FALSE(fleet.etcd.keys().contains(key));
  CHECK_FALSE(fleet.at(1).member->left());
  fleet.at(1).member->leave();
  fleet.run(milliseconds(100));
  CHECK(fleet.at(1).member->left());
}

TEST_CASE("a member that withdraws while etcd is away tells it later, and loses no list") {
  Fleet fleet;
  for (int i = 0; i < 2; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const std::string text = fleet.at(1).text();
  fleet.reachable = false;
  fleet.at(1).member->withdraw();
  fleet.at(1).withdrawn = true;
  fleet.run(kLease / 2);
  CHECK(fleet.at(1).text() == text);
  fleet.reachable = true;
  CHECK(fleet.agrees(kAgree + EtcdMember::kLongestPause));
}

TEST_CASE("while etcd is away the list stays, and its leases last when it is back") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const std::string text = fleet.at(0).text();
  fleet.reachable = false;
  fleet.run(5 * kLease);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(fleet.at(i).text() == text);
    CHECK_FALSE(fleet.at(i).member->connected());
  }
  fleet.etcd.extend_leases(fleet.now);
  fleet.reachable = true;
  fleet.run(kLease);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(fleet.at(i).text() == text);
    CHECK(fleet.at(i).member->connected());
  }
}

TEST_CASE("when etcd has lost its leases or all it knew, nobody drops out for a moment") {
  const bool all = GENERATE(false, true);
  const uint32_t seed = GENERATE(range(1u, 9u));
  Fleet fleet(seed);
  for (int i = 0; i < 4; ++i) fleet.add();
  for (int i = 0; i < 100; ++i) fleet.etcd.bump();
  fleet.kill(0);
  REQUIRE(fleet.agrees(kLease + kAgree));
  const auto before = fleet.at(0).discovery.published();
  fleet.reachable = false;
  fleet.run(2 * kLease);
  fleet.reachable = true;
  if (all) {
    fleet.etcd.lose_data();
  } else {
    fleet.etcd.expire(fleet.now);
  }
  for (int i = 0; i < 600; ++i) {
    fleet.run(milliseconds(5));
    for (size_t m = 0; m < fleet.size(); ++m) {
      CHECK(fleet.at(m).discovery.published()->list.nodes == before->list.nodes);
    }
  }
  CHECK(fleet.agrees(kAgree));
  if (all) CHECK(fleet.at(0).version() > before->list.version);
  const uint64_t version = fleet.at(0).version();
  fleet.add();
  CHECK(fleet.agrees(kAgree));
  CHECK(fleet.at(0).version() > version);
}

TEST_CASE("after lost data all arrive at the largest version, also that of who comes late") {
  Fleet fleet;
  for (int i = 0; i < 2; ++i) fleet.add();
  for (int i = 0; i < 100; ++i) fleet.etcd.bump();
  fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  auto& late = fleet.at(2);
  late.stopped = true;
  REQUIRE(fleet.agrees(kLease + kAgree));
  fleet.etcd.lose_data();
  fleet.one_text_a_version = false;
  fleet.run(3 * kLease);
  late.stopped = false;
  CHECK(fleet.agrees(kAgree + kLease));
  CHECK(fleet.etcd.keys().at("/larder/fleet/list").value.find('\n') < 4);  // its version is named
}

TEST_CASE("a list whose version is behind the one that is published is written anew") {
  Fleet fleet;
  fleet.etcd.put("/larder/fleet/list", "n1||11211\n");
  auto& a = fleet.add();
  ClusterList known{500, {node_of(1)}};
  REQUIRE(a.discovery.offer(known));
  fleet.run(kLease);
  CHECK(fleet.etcd.keys().at("/larder/fleet/list").value == "501\nn1||11211\n");
  CHECK(a.text() == "501\nn1||11211\n");
}

TEST_CASE("a key that somebody has deleted is put again") {
  Fleet fleet;
  for (int i = 0; i < 2; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const int64_t lease = fleet.etcd.keys().at("/larder/fleet/nodes/n1:11211").lease;
  fleet.etcd.remove("/larder/fleet/nodes/n1:11211");
  fleet.run(milliseconds(500));
  REQUIRE(fleet.agrees(kAgree));
  CHECK(fleet.etcd.keys().at("/larder/fleet/nodes/n1:11211").lease == lease);
}

TEST_CASE("to an etcd that forgets what is put it is put with pauses that grow") {
  Fleet fleet;
  fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  fleet.etcd.forgets_puts = true;
  fleet.etcd.remove("/larder/fleet/nodes/n1:11211");
  const size_t puts = fleet.etcd.puts();
  fleet.run(seconds(20));
  CHECK(fleet.etcd.puts() > puts + 5);
  CHECK(fleet.etcd.puts() < puts + 30);
  fleet.etcd.forgets_puts = false;
  CHECK(fleet.agrees(kAgree + EtcdMember::kLongestPause));
}

TEST_CASE("who does not come back is out of the list one lease after the data were lost") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  fleet.reachable = false;
  fleet.run(2 * kLease);
  fleet.kill(2);
  fleet.etcd.lose_data();
  fleet.reachable = true;
  CHECK(fleet.agrees(kLease + 2 * kAgree));
}

TEST_CASE("two servers that are announced as the same do not fight") {
  Fleet fleet;
  fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const uint64_t before = fleet.etcd.revision();
  Discovery discovery;
  EtcdMember twin({"fleet", node_of(1), kLease, 7, "", ""}, started_empty(), discovery);
  for (int i = 0; i < 2000; ++i) {
    fleet.run(milliseconds(5));
    if (const auto call = twin.next(fleet.now, true)) {
      int status = 0;
      const std::string body = fleet.etcd.answer(*call, fleet.now, status);
      twin.answered(status, body, fleet.now);
    }
  }
  CHECK(fleet.etcd.revision() == before + 1);
  CHECK(discovery.published()->text == fleet.at(0).text());
}

TEST_CASE("a node whose key was overwritten puts it again, and no list goes without the node") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const uint64_t version = fleet.at(0).version();
  const std::string key = "/larder/fleet/nodes/n2:11211";
  const int64_t lease = fleet.etcd.keys().at(key).lease;
  for (const char* value : {"garbage", "", "n9||11211", "n2||11211 n2||11211", "7\nn2||11211"}) {
    INFO(value);
    fleet.etcd.put(key, value);
    fleet.run(milliseconds(500));
    CHECK(fleet.etcd.keys().at(key).value == "# incarnation 1002\nn2||11211");
    CHECK(fleet.etcd.keys().at(key).lease == lease);
    CHECK(fleet.all_agree());
    CHECK(fleet.at(0).version() == version);
  }
  fleet.add();
  CHECK(fleet.agrees(kAgree));
}

TEST_CASE("a node that does not put its overwritten key right is out of the list after a lease") {
  Fleet fleet;
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const std::string text = fleet.at(0).text();
  fleet.kill(1);
  fleet.etcd.put("/larder/fleet/nodes/n2:11211", "garbage");
  fleet.run(kLease / 2);
  CHECK(fleet.at(0).text() == text);
  CHECK(fleet.agrees(kLease + kAgree));
}

TEST_CASE("a key that names no node of the list and cannot be used delays no change") {
  Fleet fleet;
  fleet.etcd.put("/larder/fleet/nodes/x:1", "garbage");
  for (int i = 0; i < 3; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  fleet.at(1).member->leave();
  fleet.run(milliseconds(100));
  fleet.kill(1);
  CHECK(fleet.agrees(kAgree));
}

// -- What a member has stored while it was not in the list, or before.

// Four members that agree; they have dropped what they had when they joined.
void settle(Fleet& fleet) {
  for (int i = 0; i < 4; ++i) fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  for (size_t i = 0; i < fleet.size(); ++i) fleet.at(i).drops = 0;
}

TEST_CASE("a member that comes back after a list without it drops its items before it is in one") {
  Fleet fleet;
  settle(fleet);
  auto& m = fleet.at(1);
  m.serving = false;
  REQUIRE(fleet.agrees(3 * kLease));
  CHECK(m.drops == 0);
  m.serving = true;
  while (m.drops == 0) {
    fleet.run(milliseconds(5));
    if (m.drops == 0) CHECK_FALSE(fleet.etcd.keys().contains("/larder/fleet/nodes/n2:11211"));
  }
  REQUIRE(fleet.agrees(kAgree));
  CHECK(m.drops == 1);
  CHECK(fleet.at(0).drops + fleet.at(2).drops + fleet.at(3).drops == 0);
}

TEST_CASE(
    "a member that a list went without for a moment drops its items, though its lease lasts") {
  Fleet fleet;
  settle(fleet);
  fleet.at(1).stopped = true;  // it does not see its key go and puts it when the list lacks it
  fleet.etcd.remove("/larder/fleet/nodes/n2:11211");
  fleet.run(milliseconds(500));
  REQUIRE(fleet.etcd.keys().at("/larder/fleet/list").value.find("n2") == std::string::npos);
  fleet.at(1).stopped = false;
  REQUIRE(fleet.agrees(kAgree));
  CHECK(fleet.at(1).drops == 1);
}

TEST_CASE("no member drops its items while every list has it") {
  Fleet fleet;
  settle(fleet);
  SECTION("etcd is away for longer than the leases") {
    fleet.reachable = false;
    fleet.run(5 * kLease);
    fleet.reachable = true;
  }
  SECTION("etcd loses its leases") {
    fleet.reachable = false;
    fleet.run(2 * kLease);
    fleet.etcd.expire(fleet.now);
    fleet.reachable = true;
  }
  SECTION("etcd loses all it knew") { fleet.etcd.lose_data(); }
  SECTION("a key is overwritten") { fleet.etcd.put("/larder/fleet/nodes/n2:11211", "rubbish"); }
  SECTION("others come and go") {
    fleet.add();
    REQUIRE(fleet.agrees(kAgree));
    fleet.kill(4);
  }
  SECTION("calls fail now and then") {
    fleet.failures_percent = 10;
    fleet.run(5 * kLease);
    fleet.failures_percent = 0;
  }
  fleet.run(kLease);
  REQUIRE(fleet.agrees(3 * kLease));
  for (size_t i = 0; i < 4; ++i) CHECK(fleet.at(i).drops == 0);
}

TEST_CASE(
    "a process that takes the place of one before it drops what was not stored in that place") {
  Fleet fleet;
  settle(fleet);
  const uint64_t version = fleet.at(1).version();
  const uint64_t incarnation = fleet.at(1).incarnation;
  fleet.kill(1);  // its key stays for one lease
  size_t drops = 0;
  SECTION("without items, within the lease") { fleet.add(2, std::nullopt); }
  SECTION("with the items of the one before it, within the lease") {
    fleet.add(2, EtcdMember::Inherited{incarnation, version});
  }
  SECTION("with older items, within the lease") {
    fleet.add(2, EtcdMember::Inherited{incarnation - 900, version});
    drops = 1;
  }
  SECTION("with items of an unknown process") {
    fleet.add(2, EtcdMember::Inherited{0, 0});
    drops = 1;
  }
  SECTION("without items, after a list without it") {
    REQUIRE(fleet.agrees(3 * kLease));
    fleet.add(2, std::nullopt);
    drops = 1;  // of none, unless clients have stored some since it started
  }
  SECTION("with the items of the one before it, after a list without it") {
    REQUIRE(fleet.agrees(3 * kLease));
    fleet.add(2, EtcdMember::Inherited{incarnation, version});
    drops = 1;
  }
  fleet.run(kLease);
  REQUIRE(fleet.agrees(3 * kLease));
  CHECK(fleet.at(3).number == 2);
  CHECK(fleet.at(3).drops == drops);
}

TEST_CASE("the only node of a fleet keeps its items when it starts again") {
  Fleet fleet;
  auto& first = fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const EtcdMember::Inherited inherited{first.incarnation, first.version()};
  fleet.kill(0);
  fleet.run(3 * kLease);  // nobody writes another list
  SECTION("nothing has changed") {
    auto& second = fleet.add(1, inherited);
    REQUIRE(fleet.agrees(kAgree));
    CHECK(second.drops == 0);
  }
  SECTION("another list was there meanwhile") {
    fleet.etcd.put("/larder/fleet/list", "n1||11211\n");
    auto& second = fleet.add(1, inherited);
    REQUIRE(fleet.agrees(kAgree));
    CHECK(second.drops == 1);
  }
}

TEST_CASE("a server whose place another one had drops its items when it takes the place again") {
  Fleet fleet;
  settle(fleet);
  auto& first = fleet.at(1);
  fleet.add(2, std::nullopt);
  fleet.run(2 * kLease);
  CHECK(first.drops == 0);
  fleet.kill(4);
  fleet.run(2 * kLease);
  REQUIRE(fleet.agrees(kAgree));
  CHECK(first.drops == 1);
}

TEST_CASE("trouble makes pauses that grow, and another endpoint each time") {
  set_log_verbosity(-1);
  Discovery discovery;
  EtcdMember member({"fleet", node_of(1), seconds(10), 7, "", ""}, started_empty(), discovery);
  Time now{seconds(1000)};
  std::vector<milliseconds> pauses;
  for (size_t i = 0; i < 12; ++i) {
    CHECK(member.endpoint() == i);
    REQUIRE(member.next(now, true));
    i % 2 == 0 ? member.failed("it is away", now) : member.answered(500, "<html>", now);
    CHECK_FALSE(member.next(now, true));
    pauses.push_back(std::chrono::duration_cast<milliseconds>(member.wake_at() - now));
    now = member.wake_at();
  }
  CHECK(pauses.front() >= EtcdMember::kShortestPause / 2);
  CHECK(pauses.front() <= EtcdMember::kShortestPause);
  CHECK(pauses.back() >= EtcdMember::kLongestPause / 2);
  CHECK(*std::max_element(pauses.begin(), pauses.end()) <= EtcdMember::kLongestPause);
  member.leave();
  CHECK_FALSE(member.next(now, true));
  CHECK(member.left());
  set_log_verbosity(0);
}

TEST_CASE("a member authenticates where a user is named, and again when its token is old") {
  Discovery discovery;
  EtcdMember::Identity identity{"fleet", node_of(1), kLease, 7, "me", "secret"};
  EtcdMember member(identity, started_empty(), discovery);
  Time now{seconds(1000)};
  for (const std::string token : {"one", "two"}) {
    const auto first = member.next(now, true);
    REQUIRE(first);
    CHECK(first->path == std::string(kEtcdAuthenticatePath));
    CHECK(first->body == R"({"name":"me","password":"secret"})");
    CHECK(first->token.empty());
    member.answered(200, R"({"token":")" + token + "\"}", now);
    const auto second = member.next(now, true);
    REQUIRE(second);
    CHECK(second->path == std::string(kEtcdGrantPath));
    CHECK(second->token == token);
    set_log_verbosity(-1);
    member.answered(401, R"({"error":"etcdserver: invalid auth token","code":16})", now);
    set_log_verbosity(0);
    CHECK_FALSE(member.next(now, true));
    now = member.wake_at();
  }
}

TEST_CASE("a prefix that never rests and a list that others keep changing cost little") {
  Fleet fleet;
  auto& a = fleet.add();
  REQUIRE(fleet.agrees(kAgree));
  const uint64_t before = fleet.etcd.revision();
  unsigned changes = 0;
  for (int i = 0; i < 2000; ++i) {
    if (fleet.etcd.keys().at("/larder/fleet/list").value != "x||1\n") {
      fleet.etcd.put("/larder/fleet/list", "x||1\n");
      ++changes;
    }
    fleet.run(milliseconds(5));
  }
  CHECK(changes < 20);
  CHECK(fleet.etcd.revision() - before < 50);
  CHECK(a.discovery.published()->list.nodes.size() == 1);
}

}  // namespace
}  // namespace larder::daemon
