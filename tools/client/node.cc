#include "tools/client/node.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "tools/client/retry.h"
#include "tools/client/share.h"

namespace larder::client {
namespace {

// Deletes that are sent before their answers are waited for: what one failure puts back.
constexpr size_t kPaidAtOnce = 1'000;

TimePoint now() { return std::chrono::steady_clock::now(); }

// Whether the node may hold an older value after this than it should. A refusal is the server's own
// decision about the item, and servers drop the old value where they cannot store the new one.
bool leaves_doubt(const Answer& answer) {
  return answer.outcome == Outcome::Failed && answer.error &&
         answer.error->kind != ErrorKind::BadRequest && answer.error->kind != ErrorKind::Refused;
}

// The node is there and well, whatever it says.
bool is_about_the_node(const Error& error) {
  return error.is_of_the_network() || error.kind == ErrorKind::Protocol;
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

}  // namespace

Node::Node(const Endpoint& endpoint, const ClientOptions& options)
    : name_(endpoint.text()),
      connect_timeout_(options.connect_timeout),
      idle_connections_(options.idle_connections),
      lease_(options.lease),
      most_owed_keys_(options.most_owed_keys),
      pool_(endpoint, options.connection, options.idle_connections, options.trusted_idle),
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

Result<std::unique_ptr<Connection>> Node::acquire(Deadline deadline) {
  NodeHealth::Admission admission;
  {
    const std::lock_guard lock(mutex_);
    admission = health_.admit(now());
    if (admission == NodeHealth::Admission::Refuse) return ejected_error();
  }
  if (admission == NodeHealth::Admission::Probe) return probe(deadline);

  Result<void> paid = pay(deadline);
  if (!paid) return paid.error();
  auto taken = pool_.take(connect_by(deadline));
  if (!taken) note_failure(taken.error());
  return taken;
}

void Node::finish(std::unique_ptr<Connection> connection, std::span<const Operation> operations,
                  std::span<Answer> answers) {
  if (!connection->failed() && !connection->idle()) {
    connection->fail({ErrorKind::Timeout, name_ + " did not answer in time"});
  }
  if (!connection->failed()) {
    note_success();
    pool_.give_back(std::move(connection));
    return;
  }
  {
    std::optional<Lingering> lingering = connection->take_lingering();
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < operations.size(); ++i) {
      if (!leaves_doubt(answers[i])) continue;
      if (operations[i].verb == Verb::FlushAll) {
        owed_.add_everything();
      } else if (changes_something(operations[i])) {
        owed_.add(operations[i].key);
      }
    }
    if (lingering) lingering_.push_back(std::move(*lingering));
    indebted_ = indebted_ || !owed_.empty() || !lingering_.empty();
  }
  note_failure(*connection->failure());
}

void Node::owe(const Operation& operation) {
  if (!changes_something(operation)) return;
  if (operation.verb == Verb::FlushAll) return owe_everything();
  const std::lock_guard lock(mutex_);
  owed_.add(operation.key);
  indebted_ = true;
}

void Node::owe_everything() {
  const std::lock_guard lock(mutex_);
  owed_.add_everything();
  indebted_ = true;
}

void Node::remember_moved(std::string_view key) {
  const std::lock_guard lock(mutex_);
  moved_.add(key);
}

void Node::moved_are_owed() {
  const std::lock_guard lock(mutex_);
  owed_.add_all_of(moved_);
  indebted_ = indebted_ || !owed_.empty();
}

void Node::leave() {
  pool_.set_most_idle(0);
  const std::lock_guard lock(mutex_);
  owed_.add_everything();
  owed_.add_all_of(moved_);
  indebted_ = true;
}

void Node::rejoin() {
  pool_.set_most_idle(idle_connections_);
  owe_everything();
}

bool Node::healthy() const {
  const std::lock_guard lock(mutex_);
  return health_.healthy();
}

size_t Node::owed() const {
  const std::lock_guard lock(mutex_);
  return owed_.everything() ? most_owed_keys_ + 1 : owed_.keys();
}

// Only one thread is here at a time: the others are refused until it has reported.
Result<std::unique_ptr<Connection>> Node::probe(Deadline deadline) {
  const auto failed = [this](const Error& error) {
    const std::lock_guard lock(mutex_);
    last_failure_ = error.text;
    health_.probe_failed(now(), any_chance());
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
  Result<void> paid = pay(deadline);
  if (!paid) return failed(paid.error());
  const std::lock_guard lock(mutex_);
  health_.probe_succeeded();
  return opened;
}

// Pays all that is owed, or waits for the thread that does.
Result<void> Node::pay(Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (paying_) {
    if (paid_.wait_until(lock, deadline) == std::cv_status::timeout && paying_) {
      return Error{ErrorKind::Timeout, name_ + " was still being cleaned of old values"};
    }
  }
  if (!indebted_) return {};
  paying_ = true;
  lock.unlock();
  Result<void> paid = pay_all(deadline);
  lock.lock();
  paying_ = false;
  lock.unlock();
  paid_.notify_all();
  if (!paid) note_failure(paid.error());
  return paid;
}

Result<void> Node::pay_all(Deadline deadline) {
  while (true) {
    std::vector<Lingering> lingering;
    OwedDeletes::Part part;
    {
      const std::lock_guard lock(mutex_);
      lingering.swap(lingering_);
      part = owed_.take(kPaidAtOnce);
      if (part.empty() && lingering.empty()) {
        indebted_ = false;
        return {};
      }
    }
    Result<void> paid = Error{ErrorKind::Timeout, name_ + " has not yet read what was sent before"};
    if (await_end(lingering, deadline)) {
      lingering.clear();
      paid = pay_part(part, deadline);
    }
    if (paid) continue;
    const std::lock_guard lock(mutex_);
    owed_.put_back(std::move(part));
    std::move(lingering.begin(), lingering.end(), std::back_inserter(lingering_));
    return paid;
  }
}

Result<void> Node::pay_part(OwedDeletes::Part& part, Deadline deadline) {
  if (part.empty()) return {};
  auto taken = pool_.take(connect_by(deadline));
  if (!taken) return taken.error();
  std::vector<Operation> operations;
  if (part.everything) operations.push_back({.verb = Verb::FlushAll});
  for (const std::string& key : part.keys) operations.push_back({.verb = Verb::Delete, .key = key});
  Result<void> paid = run_all(**taken, operations, deadline);
  pool_.give_back(std::move(*taken));
  return paid;
}

Deadline Node::connect_by(Deadline deadline) const {
  return std::min(deadline, now() + connect_timeout_);
}

void Node::note_failure(const Error& error) {
  if (!is_about_the_node(error)) return;
  {
    const std::lock_guard lock(mutex_);
    last_failure_ = error.text;
    if (!health_.failed(now(), any_chance())) return;
  }
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
