#include "tools/client/node.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <new>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "tools/client/retry.h"
#include "tools/client/share.h"
#include "tools/client/spelling.h"
#include "tools/client/stats_row.h"

namespace larder::client {
namespace {

// Deletes that are sent before their answers are waited for: what one failure puts back.
constexpr size_t kPaidAtOnce = 1'000;

constexpr std::chrono::seconds kBetweenLooks{1};
// Other threads may wait for the same connections, so nobody polls them for this.
constexpr std::chrono::milliseconds kBetweenLooksAtFormer{5};
// An address at which nothing lingers any more is forgotten once there are so many.
constexpr size_t kMostFormerAddresses = 16;

constexpr std::string_view kAskEmptied = "stats larder";
constexpr std::array<std::string_view, 1> kAskEnds = {"END"};
constexpr uint64_t kMostAgoMs = uint64_t{1} << 40;

TimePoint now() { return std::chrono::steady_clock::now(); }

// The node is there and well, whatever it says.
bool is_about_the_node(const Error& error) {
  return !error.is_local && (error.is_of_the_network() || error.kind == ErrorKind::Protocol);
}

// The first failure of any. What no server would take has nothing stored under its key either.
Result<void> run_all(Connection& connection, std::span<const Operation> operations,
                     Deadline deadline) {
  std::vector<Answer> answers(operations.size());
  connection.run(operations, answers, deadline);
  for (Answer& answer : answers) {
    if (answer.outcome == Outcome::Failed && answer.error->kind != ErrorKind::BadRequest) {
      return std::move(*answer.error);
    }
  }
  return {};
}

bool has_open(LingeringList& connections) {
  return std::any_of(connections.begin(), connections.end(),
                     [](Lingering& connection) { return !connection.ended(); });
}

}  // namespace

Node::Node(const Endpoint& endpoint, const ClientOptions& options)
    : name_(endpoint.text()),
      needs_handshake_(options.connection.tls.enabled || !options.connection.user.empty()),
      dialect_(options.connection.dialect),
      connect_timeout_(options.connect_timeout),
      idle_connections_(options.idle_connections),
      lease_(options.lease),
      observer_(options.observer),
      most_owed_keys_(options.most_owed_keys),
      pool_(endpoint, options.connection, options.idle_connections, options.trusted_idle,
            options.idle_timeout,
            [this](const std::string& from, const std::string& to) { move(from, to); }),
      health_(options.health),
      owed_({options.most_owed_keys, options.most_owed_bytes}),
      moved_({options.most_owed_keys, options.most_owed_bytes}) {}

std::unique_ptr<Connection> Node::acquire_idle() {
  {
    const std::lock_guard lock(mutex_);
    if (indebted_ || !health_.healthy()) return nullptr;
  }
  return pool_.take_idle();
}

Result<std::unique_ptr<Connection>> Node::acquire(Deadline deadline, Try which) {
  if (now() >= deadline) {
    return Error{ErrorKind::Timeout, name_ + " was not asked: the time was over before"};
  }
  close_ended();
  NodeHealth::Admission admission;
  {
    const std::lock_guard lock(mutex_);
    admission = health_.admit(now());
    if (admission == NodeHealth::Admission::Refuse) return ejected_error();
  }
  if (admission == NodeHealth::Admission::Probe) return probe(deadline);
  return take_paid(deadline, which);
}

Result<std::unique_ptr<Connection>> Node::take_paid(Deadline deadline, Try which) {
  while (true) {
    Result<void> paid = pay(deadline, which);
    if (!paid) return paid.error();
    auto taken = pool_.take(connect_by(deadline));
    if (!taken) {
      note_failure(taken.error(), which);
      return taken;
    }
    // Its name may have led to another server just now, which owes a flush.
    {
      const std::lock_guard lock(mutex_);
      if (!indebted_) return taken;
    }
    pool_.give_back(std::move(*taken));
  }
}

std::optional<Connecting> Node::begin_connect() {
  {
    const std::lock_guard lock(mutex_);
    if (indebted_ || !health_.healthy()) return std::nullopt;
  }
  return Connecting::begin(endpoint());
}

Result<std::unique_ptr<Connection>> Node::end_connect(Connecting connecting, Deadline deadline,
                                                      Try which) {
  Result<Connected> connected = connecting.end();
  auto opened = connected ? pool_.open_over(std::move(*connected), deadline)
                          : Result<std::unique_ptr<Connection>>(connected.error());
  if (!opened) {
    note_failure(opened.error(), which);
    return opened;
  }
  {
    const std::lock_guard lock(mutex_);
    if (!indebted_ && health_.healthy()) return opened;
  }
  pool_.give_back(std::move(*opened));
  return std::unique_ptr<Connection>();
}

void Node::finish(std::unique_ptr<Connection> connection, std::span<const Operation> operations,
                  std::span<Answer> answers, Try which) noexcept {
  if (!connection->failed() && !connection->idle()) {
    Error late{ErrorKind::Timeout, {}};
    try {
      late.text = name_ + " did not answer in time";
    } catch (const std::bad_alloc&) {
      // The kind says it.
    }
    connection->fail(std::move(late));
  }
  // Before its keys are owed: who deletes these is to wait for it.
  if (LingeringList lingering = connection->take_lingering(); !lingering.empty()) {
    const std::lock_guard lock(mutex_);
    LingeringList& all = lingering_at(connection->address());
    all.splice(all.end(), lingering);
    late_before_ = old_before_ = now();
    if (&all != &lingering_) moved_until_ = old_before_ + std::chrono::seconds(kUnheardSeconds);
    indebted_ = true;
  }
  for (size_t i = 0; i < operations.size(); ++i) {
    if (answers[i].in_doubt) owe(operations[i]);
  }
  if (!connection->failed()) {
    note_success();
    pool_.give_back(std::move(connection));
    return;
  }
  if (!connection->was_left()) note_failure(*connection->failure(), which);
}

void Node::owe(const Operation& operation) noexcept {
  if (!changes_something(operation)) return;
  owe_here(operation);
  const std::shared_ptr<const Successors> successors = this->successors();
  if (!successors) return;
  for (const std::weak_ptr<Node>& successor : *successors) {
    const std::shared_ptr<Node> next = successor.lock();
    if (!next) continue;
    {
      const std::lock_guard lock(next->mutex_);
      next->former_until_ = now() + std::chrono::seconds(kUnheardSeconds);
    }
    next->owe_here(operation);
  }
}

void Node::owe_where_it_leads(std::string_view key) noexcept {
  const std::shared_ptr<const Successors> successors = this->successors();
  if (!successors) return;
  for (const std::weak_ptr<Node>& successor : *successors) {
    if (const std::shared_ptr<Node> next = successor.lock()) next->owe_key(key);
  }
}

void Node::owe_here(const Operation& operation) noexcept {
  if (operation.verb == Verb::FlushAll) return owe_everything();
  owe_key(operation.key);
}

void Node::owe_key(std::string_view key) noexcept {
  const std::lock_guard lock(mutex_);
  owed_.add(key);
  old_before_ = now();
  indebted_ = true;
}

void Node::owe_everything() noexcept {
  const std::lock_guard lock(mutex_);
  owed_.add_everything();
  old_before_ = now();
  indebted_ = true;
}

void Node::move(const std::string& from, const std::string& to) {
  std::string left_at = from;
  const std::lock_guard lock(mutex_);
  if (former_lingering_.size() >= kMostFormerAddresses) {
    std::erase_if(former_lingering_, [](const auto& former) { return former.second.empty(); });
  }
  LingeringList& left = former_lingering_[from];
  left.splice(left.end(), lingering_);
  if (auto back = former_lingering_.extract(to)) lingering_.swap(back.mapped());
  if (awaits_lingering_ && awaited_at_.empty()) awaited_at_.swap(left_at);
  owed_.add_everything();
  old_before_ = now();
  moved_until_ = old_before_ + std::chrono::seconds(kUnheardSeconds);
  indebted_ = true;
  health_.announced(old_before_);  // what failed was at the other address
}

LingeringList& Node::lingering_at(const std::string& address) noexcept {
  const auto former = former_lingering_.find(address);
  return former == former_lingering_.end() ? lingering_ : former->second;
}

bool Node::keeps_former_lingering() const noexcept {
  return std::any_of(former_lingering_.begin(), former_lingering_.end(),
                     [](const auto& former) { return !former.second.empty(); });
}

bool Node::has_former_lingering() noexcept {
  return std::any_of(former_lingering_.begin(), former_lingering_.end(),
                     [](auto& former) { return has_open(former.second); });
}

void Node::remember_moved(std::string_view key) noexcept {
  const std::lock_guard lock(mutex_);
  moved_.add(key);
}

void Node::remember_everything_moved() noexcept {
  const std::lock_guard lock(mutex_);
  moved_.add_everything();
}

void Node::moved_are_owed() noexcept {
  const std::lock_guard lock(mutex_);
  if (!moved_.empty()) old_before_ = now();
  owed_.add_all_of(moved_);
  indebted_ = indebted_ || !owed_.empty();
}

void Node::leave() noexcept {
  pool_.set_most_idle(0);
  const std::lock_guard lock(mutex_);
  owed_.add_everything();
  owed_.add_all_of(moved_);
  old_before_ = now();
  indebted_ = true;
}

void Node::rejoin() noexcept {
  pool_.set_most_idle(idle_connections_);
  const std::lock_guard lock(mutex_);
  owed_.add_everything();  // an earlier fleet may have paid meanwhile
  was_unlisted_ = true;
  indebted_ = true;
  successors_.reset();
}

Node::Former Node::former_of(const std::shared_ptr<Node>& to, Nodes from) {
  Former kept;
  std::set<std::shared_ptr<Node>> seen = {to};
  const auto keep = [&](const std::shared_ptr<Node>& node) {
    if (node && kept.size() < kMostFormer && seen.insert(node).second) kept.push_back(node);
  };
  const auto keep_those_of = [&](const Node& node) {
    if (kept.size() >= kMostFormer) return;
    const Former former = node.former();
    for (auto it = former.rbegin(); it != former.rend(); ++it) keep(it->lock());
  };
  for (auto it = from.rbegin(); it != from.rend(); ++it) keep(*it);
  for (auto it = from.rbegin(); it != from.rend(); ++it) keep_those_of(**it);
  keep_those_of(*to);
  std::reverse(kept.begin(), kept.end());
  return kept;
}

Node::Former Node::former() const {
  const std::lock_guard lock(mutex_);
  return former_;
}

void Node::names_lead_here(Former former) noexcept {
  const std::lock_guard lock(mutex_);
  former_.swap(former);
  old_before_ = now();
  former_until_ = old_before_ + std::chrono::seconds(kUnheardSeconds);
  owed_.add_everything();
  indebted_ = true;
}

Node::Former Node::other_ports() const {
  const std::lock_guard lock(mutex_);
  return other_ports_;
}

void Node::has_other_ports(Former ports) noexcept {
  const std::lock_guard lock(mutex_);
  other_ports_.swap(ports);
  former_until_ = now() + std::chrono::seconds(kUnheardSeconds);
}

void Node::is_succeeded_by(std::shared_ptr<const Successors> successors) noexcept {
  const std::lock_guard lock(mutex_);
  successors_.swap(successors);
}

std::shared_ptr<const Node::Successors> Node::successors() const noexcept {
  const std::lock_guard lock(mutex_);
  return successors_;
}

bool Node::lingers() noexcept {
  const std::lock_guard lock(mutex_);
  return awaits_lingering_ || has_open(lingering_) || has_former_lingering();
}

void Node::announced() noexcept {
  const std::lock_guard lock(mutex_);
  health_.announced(now());
}

void Node::close_ended() noexcept {
  LingeringList ended;  // closed without the lock
  const std::lock_guard lock(mutex_);
  const TimePoint from = now();
  if (from < close_ended_from_) return;
  const auto take_ended = [&](LingeringList& list) {
    for (auto it = list.begin(); it != list.end();) {
      close_ended_from_ = from + kBetweenLooks;
      const auto next = std::next(it);
      if (it->ended()) ended.splice(ended.end(), list, it);
      it = next;
    }
  };
  take_ended(lingering_);
  for (auto& [address, list] : former_lingering_) take_ended(list);
  // Until now what was sent on them might arrive.
  if (!ended.empty()) late_before_ = old_before_ = from;
}

bool Node::is_failing() const {
  const std::lock_guard lock(mutex_);
  return health_.is_failing();
}

bool Node::healthy() const {
  const std::lock_guard lock(mutex_);
  return health_.healthy();
}

size_t Node::owed() const {
  const std::lock_guard lock(mutex_);
  return owed_.everything() ? most_owed_keys_ + 1 : owed_.keys();
}

Result<std::unique_ptr<Connection>> Node::probe(Deadline deadline) {
  auto probed = probe_and_report(deadline);
  // After the report: the observer may use the node.
  if (probed && observer_) observer_->node_returned(name_);
  return probed;
}

// Only one thread is here at a time: the others are refused until it has reported.
Result<std::unique_ptr<Connection>> Node::probe_and_report(Deadline deadline) {
  // Whatever happens, a probe ends.
  struct Report {
    Node& node;
    bool succeeded = false;
    bool says_nothing = false;  // of the node
    ~Report() {
      const std::lock_guard lock(node.mutex_);
      if (says_nothing) {
        node.health_.probe_was_not_made();
      } else if (succeeded) {
        node.health_.probe_succeeded();
      } else {
        node.health_.probe_failed(now(), any_chance());
      }
    }
  } report{*this};
  const auto failed = [&](const Error& error) {
    report.says_nothing = error.is_local;
    const std::lock_guard lock(mutex_);
    old_before_ = now();
    last_failure_ = error.text;
    return error;
  };
  // Connections from before tell nothing of the server that is there now.
  pool_.clear();
  auto opened = pool_.open(connect_by(deadline));
  if (!opened) return failed(opened.error());
  const Operation noop{.verb = Verb::Noop};
  Result<void> answered = run_all(**opened, {&noop, 1}, deadline);
  if (!answered) return failed(answered.error());
  {
    const std::lock_guard lock(mutex_);
    if (now() - health_.away_since() > lease_) {
      owed_.add_everything();
      indebted_ = true;
    }
  }
  // Its name may lead to another server by now: then that one is flushed, and not this one.
  pool_.give_back(std::move(*opened));
  auto taken = take_paid(deadline, Try::First);
  if (!taken) return failed(taken.error());
  report.succeeded = true;
  return taken;
}

// Pays all that is owed, or waits for the thread that does.
Result<void> Node::pay(Deadline deadline, Try which) {
  std::unique_lock lock(mutex_);
  while (paying_) {
    if (paid_.wait_until(lock, deadline) == std::cv_status::timeout && paying_) {
      return Error{ErrorKind::Timeout, name_ + " was still being cleaned of old values"};
    }
  }
  if (!indebted_) return {};
  paying_ = true;
  lock.unlock();
  struct Payer {
    Node& node;
    ~Payer() {
      {
        const std::lock_guard end(node.mutex_);
        node.paying_ = false;
      }
      node.paid_.notify_all();
    }
  };
  Result<void> paid = [&] {
    const Payer payer{*this};
    return pay_all(deadline);
  }();
  if (!paid) note_failure(paid.error(), which);
  return paid;
}

Result<void> Node::pay_all(Deadline deadline) {
  // What is being paid: owed again unless it was.
  struct Round {
    Node& node;
    LingeringList lingering = {};
    OwedDeletes::Part part = {};
    bool is_paid = false;
    ~Round() {
      const std::lock_guard lock(node.mutex_);
      node.awaits_lingering_ = false;
      if (is_paid) return;
      node.owed_.put_back(part);
      LingeringList& all = node.lingering_at(node.awaited_at_);
      all.splice(all.end(), lingering);
    }
  };
  while (true) {
    Round round{*this};
    bool is_clean = false;
    {
      const std::lock_guard lock(mutex_);
      round.part = owed_.take(kPaidAtOnce);
      round.lingering.swap(lingering_);
      awaits_lingering_ = !round.lingering.empty();
      awaited_at_.clear();
      if (round.part.empty() && round.lingering.empty()) {
        is_clean = true;
        indebted_ = false;
      }
    }
    if (is_clean) {
      round.is_paid = true;
      return {};
    }
    const auto unread = [&] {
      return Error{ErrorKind::Timeout, name_ + " has not yet read what was sent before"};
    };
    if (!await_end(round.lingering, deadline)) return unread();
    {
      const std::lock_guard lock(mutex_);
      if (awaits_lingering_) late_before_ = old_before_ = now();
      awaits_lingering_ = false;  // before this waits for others, which may wait for this one
    }
    round.lingering.clear();
    if (!await_former(deadline)) return unread();
    Result<void> paid = pay_part(round.part, deadline);
    if (!paid) return paid;
    round.is_paid = true;
  }
}

bool Node::await_former(Deadline deadline) {
  bool has_waited = false;
  while (true) {
    std::vector<std::shared_ptr<Node>> former;
    bool lingers = false;
    {
      const std::lock_guard lock(mutex_);
      if (now() < former_until_) {
        for (const std::weak_ptr<Node>& node : former_) former.push_back(node.lock());
        for (const std::weak_ptr<Node>& node : other_ports_) former.push_back(node.lock());
      }
      lingers = now() < moved_until_ && has_former_lingering();
    }
    lingers = lingers || std::any_of(former.begin(), former.end(), [](const auto& node) {
                return node != nullptr && node->lingers();
              });
    if (!lingers) break;
    if (now() >= deadline) return false;
    has_waited = true;
    std::this_thread::sleep_for(kBetweenLooksAtFormer);
  }
  if (!has_waited) return true;
  const std::lock_guard lock(mutex_);
  old_before_ = now();
  return true;
}

Result<void> Node::pay_part(const OwedDeletes::Part& part, Deadline deadline) {
  if (part.empty()) return {};
  const bool flush = part.everything && !is_emptied(deadline);
  auto taken = pool_.take(connect_by(deadline));
  if (!taken) return taken.error();
  std::vector<Operation> operations;
  if (flush) operations.push_back({.verb = Verb::FlushAll});
  for (const std::string& key : part.keys) operations.push_back({.verb = Verb::Delete, .key = key});
  Result<void> paid = run_all(**taken, operations, deadline);
  pool_.give_back(std::move(*taken));
  if (paid && part.everything) {
    const std::lock_guard lock(mutex_);
    was_unlisted_ = false;
    if (now() >= former_until_) other_ports_.clear();
  }
  return paid;
}

bool Node::is_emptied(Deadline deadline) {
  if (dialect_ == Dialect::Binary) return false;
  // A proxy may close the connection or be silent: then there is time left for the flush.
  const TimePoint asked_at = now();
  const Deadline until = asked_at + (deadline - asked_at) / 2;
  auto taken = pool_.take(connect_by(until));
  if (!taken) return false;
  const Result<std::string> reply = (*taken)->ask(kAskEmptied, kAskEnds, until);
  // The rows may be an earlier reply that came twice: then those of this one come before the next.
  const Operation barrier = barrier_operation(dialect_);
  const bool is_in_step = reply.ok() && run_all(**taken, {&barrier, 1}, until).ok();
  pool_.give_back(std::move(*taken));
  if (!is_in_step) return false;
  const std::optional<uint64_t> ago = row_of(*reply, "emptied_ago_ms");
  if (!ago || *ago > kMostAgoMs) return false;
  const bool drops = row_of(*reply, "drops_before_joining").value_or(0) != 0;
  // Two clocks of two machines: they differ by less than a thousandth.
  const TimePoint emptied_at = asked_at - std::chrono::milliseconds(*ago + *ago / 1'000 + 1);
  // What was given up at a former address may have come here until it ended there.
  for (const std::weak_ptr<Node>& node : former()) {
    const std::shared_ptr<Node> from = node.lock();
    if (from && emptied_at <= from->old_before()) return false;
  }
  for (const std::weak_ptr<Node>& node : other_ports()) {
    const std::shared_ptr<Node> from = node.lock();
    if (from && emptied_at <= from->late_before()) return false;
  }
  const std::lock_guard lock(mutex_);
  if (keeps_former_lingering()) return false;
  return emptied_at > old_before_ && (drops || !was_unlisted_);
}

TimePoint Node::old_before() const {
  const std::lock_guard lock(mutex_);
  return keeps_lingering() ? now() : old_before_;
}

TimePoint Node::late_before() const {
  const std::lock_guard lock(mutex_);
  return keeps_lingering() ? now() : late_before_;
}

bool Node::keeps_lingering() const noexcept {
  return awaits_lingering_ || !lingering_.empty() || keeps_former_lingering();
}

Deadline Node::connect_by(Deadline deadline) const {
  return std::min(deadline, now() + connect_timeout_);
}

void Node::note_failure(const Error& error, Try which) noexcept {
  if (which == Try::Again || !is_about_the_node(error)) return;
  if (observer_) observer_->node_failed(name_, error);
  {
    const std::lock_guard lock(mutex_);
    old_before_ = now();
    try {
      last_failure_ = error.text;
    } catch (const std::bad_alloc&) {
      last_failure_.clear();
    }
    if (!health_.failed(now(), any_chance())) return;
  }
  if (observer_) observer_->node_ejected(name_, error);
  pool_.clear();
}

void Node::note_success() {
  const std::lock_guard lock(mutex_);
  health_.succeeded();
}

Error Node::ejected_error() const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(health_.ejected_until() - now()).count();
  const std::string when = left > 0 ? "for another " + std::to_string(left) + " ms"
                                    : std::string("and being tried right now");
  return {ErrorKind::Ejected, name_ + " is ejected " + when + ": " + last_failure_};
}

}  // namespace larder::client
