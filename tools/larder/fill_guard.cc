#include "tools/larder/fill_guard.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <functional>
#include <iterator>
#include <new>
#include <random>
#include <system_error>

#include "tools/larder/item_stream.h"
#include "tools/larder/stats.h"
#include "tools/larder/watch_line.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Error;
using client::ErrorKind;
using client::Operation;
using client::Outcome;
using client::Result;
using client::Verb;

constexpr std::string_view kOurWatch = "watch changes";
// memcached's, of which older ones know fewer.
constexpr std::string_view kMemcachedWatches[] = {"watch mutations deletions", "watch mutations"};
// memcached's `oldest` counts from so long before its uptime.
constexpr uint64_t kClockLead = 60;
constexpr auto kBetweenLooks = std::chrono::milliseconds(50);
// Of a watch, which ends with copy.
constexpr auto kLongestWatch = std::chrono::hours(24 * 365);
constexpr auto kBetweenChecks = std::chrono::seconds(1);
// For a worker that the system stops between a change and its line: it may be as late as that.
constexpr auto kLateLine = std::chrono::milliseconds(100);
// larderd puts a line into order with those of other workers by a number that is drawn some
// microseconds before: the first marker may overtake a line, the second one comes behind it.
constexpr int kMarkers = 2;
constexpr int32_t kMarkerSeconds = 60;  // should the delete of a marker fail
// Of a target, which errors() names. So short that it needs no memory.
constexpr char kOutOfMemory[] = "out of memory";
// What may be stored on a target before the watch has shown it. The server keeps 64 KiB of lines
// for each of its workers, other clients' among them, and leaves out what finds no room.
constexpr size_t kMostUnshownBytes = 24u << 10;
constexpr size_t kLineBytes = 96;  // beside the key
// Of the timeout: undo() takes so long, and a batch of deletes.
constexpr int kUndoParts = 8;

uint64_t hash_of(std::string_view key) { return std::hash<std::string_view>()(key); }

std::string any_name() {
  std::random_device random;
  return "larder-copy-" + std::to_string(uint64_t{random()} << 32 | random());
}

size_t cost_of(std::string_view key) { return key.size() + kLineBytes; }

// Of a target where items were added: the status is that of a lost one, or of what is missing here.
Error closed_by(const Error& cause) { return {ErrorKind::Closed, cause.text, cause.is_local}; }

Operation delete_of(std::string_view key) {
  Operation operation;
  operation.verb = Verb::Delete;
  operation.key = key;
  return operation;
}

}  // namespace

FillGuard::FillGuard(Fleet& targets)
    : targets_fleet_(targets),
      deleting_fleet_(targets.ring(), targets.settings()),
      run_name_(any_name()),
      targets_(targets.size()) {}

FillGuard::~FillGuard() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (const Target& target : targets_) shutdown(target.socket.get(), SHUT_RDWR);
  }
  changed_.notify_all();
  for (Target& target : targets_) {
    if (target.thread.joinable()) target.thread.join();
  }
  if (deleter_.joinable()) deleter_.join();
}

void FillGuard::open(const std::function<bool()>& go_on) {
  go_on_ = go_on;
  deleter_ = std::thread([this] { run_deletes(); });
  for (size_t node = 0; node < targets_.size(); ++node) {
    targets_[node].thread = std::thread([this, node] { run_watch(node); });
  }
  // A connection, and then the answer, of each command.
  const auto end = std::chrono::steady_clock::now() +
                   2 * (1 + std::size(kMemcachedWatches)) * targets_fleet_.settings().timeout;
  {
    std::unique_lock lock(mutex_);
    const auto is_open = [](const Target& target) { return target.watching || target.lost; };
    bool goes_on = true;
    while (!std::all_of(targets_.begin(), targets_.end(), is_open) && (goes_on = go_on()) &&
           std::chrono::steady_clock::now() < end) {
      changed_.wait_for(lock, kBetweenLooks);
    }
    for (size_t node = 0; node < targets_.size(); ++node) {
      if (targets_[node].watching) continue;
      const std::string name = targets_fleet_.name_of(node);
      lose(node, goes_on ? Error{ErrorKind::Timeout, name + " is too slow to answer"}
                         : Error{ErrorKind::Closed, name + ": " + kInterrupted});
    }
  }
  try_delete();
}

// Of nothing, on every target that is not lost.
void FillGuard::try_delete() {
  const std::string key = run_name_ + "-nothing";
  const Operation remove = delete_of(key);
  targets_fleet_.on_every_node([&](size_t node) {
    if (is_lost(node)) return;
    std::vector<Answer> answers = targets_fleet_.run_on(node, {&remove, 1});
    if (answers[0].outcome != Outcome::Failed) return;
    Error why = std::move(*answers[0].error);
    if (why.kind == ErrorKind::Refused) {
      why.text += ": copy cannot delete there, use dump and load --add --dialect classic";
    }
    const std::lock_guard lock(mutex_);
    lose(node, std::move(why));
  });
}

// -- The watches, each on its thread.

void FillGuard::run_watch(size_t node) noexcept {
  Error why = {ErrorKind::Unreachable, kOutOfMemory, true};
  try {
    Result<void> ended = watch(node, kOurWatch, false);
    if (!ended) why = ended.error();
    for (const std::string_view command : kMemcachedWatches) {
      if (ended || ended.error().kind != ErrorKind::Refused) break;
      ended = watch(node, command, true);
      // Where no watch is allowed, the first answer says so.
      if (!ended && ended.error().kind != ErrorKind::Refused) why = ended.error();
    }
    const std::lock_guard lock(mutex_);
    // Whatever ends a watch that was open, what was added there is in doubt: one status.
    if (targets_[node].watching) {
      why = {ErrorKind::Closed,
             "the watch on " + targets_fleet_.name_of(node) + " has ended (" + why.text + ")"};
    }
  } catch (const std::system_error&) {
    why = error_of(node, ErrorKind::Unreachable, "no descriptors");
    why.is_local = true;
  } catch (const std::exception&) {
  }
  const std::lock_guard lock(mutex_);
  if (!closing_) lose(node, std::move(why));
}

Result<void> FillGuard::watch(size_t node, std::string_view command, bool plain) {
  auto connection = targets_fleet_.open(node);
  if (!connection) return connection.error();
  Stats stats;
  if (plain) {  // before the watch, so that nothing falls in between
    static constexpr std::string_view kEnds[] = {"END"};
    const Result<std::string> said = (*connection)->ask("stats", kEnds, deadline());
    if (!said) return said.error();
    stats = Stats::parse(*said);
    const Result<std::string> settings = (*connection)->ask("stats settings", kEnds, deadline());
    if (!settings) return settings.error();
    if (Stats::parse(*settings).number_or_zero("oldest") >=
        stats.number_or_zero("uptime") + kClockLead) {
      return Error{ErrorKind::Closed, "on " + targets_fleet_.name_of(node) +
                                          " a flush_all with a delay is still to come"};
    }
  }
  {
    const std::lock_guard lock(mutex_);
    Target& target = targets_[node];
    if (closing_ || target.lost) return {};
    target.plain = plain;
    target.flushes = stats.number_or_zero("cmd_flush");
    target.dropped_lines = stats.number_or_zero("log_worker_dropped");
    target.socket = client::Descriptor(fcntl((*connection)->fd(), F_DUPFD_CLOEXEC, 0));
    if (target.socket.get() < 0) throw std::system_error(errno, std::generic_category());
  }
  return (*connection)
      ->ask_lines(command, {}, std::chrono::steady_clock::now() + kLongestWatch,
                  [&](std::string_view line) { return take_line(node, line); });
}

// False: the watch is of no use any more.
bool FillGuard::take_line(size_t node, std::string_view line) {
  const WatchLine parsed = parse_watch_line(line);
  const std::lock_guard lock(mutex_);
  Target& target = targets_[node];
  if (target.lost || closing_) return false;
  const auto name = [&] { return targets_fleet_.name_of(node); };
  if (!target.watching) {
    if (line != "OK") {
      lose(node, {ErrorKind::Refused, name() + " says: " + std::string(line)});
      return false;
    }
    target.watching = true;
    changed_.notify_all();
    return true;
  }
  switch (parsed.kind) {
    case WatchLine::Kind::Add:
    case WatchLine::Kind::Change:
      take_change(node, parsed.key, parsed.kind == WatchLine::Kind::Add);
      return true;
    case WatchLine::Kind::Other:
      return true;
    case WatchLine::Kind::Flush:
      lose(node, {ErrorKind::Closed, name() + " was flushed meanwhile"});
      return false;
    case WatchLine::Kind::Skipped:
      lose(node, {ErrorKind::Closed, "the watch on " + name() + " has left out lines"});
      return false;
    case WatchLine::Kind::Garbage:
      lose(node, {ErrorKind::Closed, "the watch on " + name() + " has sent what is no line of it"});
      return false;
  }
  return false;
}

// Of a key in flight the first add is taken for ours: if it is another client's, ours is answered
// with NotStored, or stores later and shows a second line.
void FillGuard::take_change(size_t node, const std::string& key, bool is_add) {
  Target& target = targets_[node];
  if (key.starts_with(run_name_)) {
    if (key != target.marker) return;
    target.marker_shown = true;
    changed_.notify_all();
    return;
  }
  // Clients may delete a key on all nodes, and two names may lead to one server.
  if (targets_fleet_.ring().node_of(key) != node) return;
  const auto flight = target.in_flight.find(key);
  if (flight == target.in_flight.end()) {
    const uint64_t hash = hash_of(key);
    const bool changed_before = seen_.has(hash);
    seen_.mark(hash);
    if (is_add && unstored_.has(hash)) {
      // Perhaps our add, which was answered by the reply to another one. Without a change before it
      // the value is no old one: another client's, or ours until the key changes.
      filled_.mark(hash);
      if (!changed_before) return;
    }
    if (filled_.has(hash)) withdraw(node, key);
    return;
  }
  Flight& ours = flight->second;
  if (is_add && !ours.shown) {
    ours.shown = true;
    if (ours.fill != Fill::Stored) return;
    target.unshown_bytes -= cost_of(key);
    settle(node, flight);
    changed_.notify_all();
    return;
  }
  seen_.mark(hash_of(key));
  ours.changed = true;  // deleted once it has been answered: before, the add could come later
}

void FillGuard::lose(size_t node, Error why) noexcept {
  Target& target = targets_[node];
  if (target.lost) return;
  target.lost = std::move(why);
  shutdown(target.socket.get(), SHUT_RDWR);
  changed_.notify_all();
}

void FillGuard::give_up(size_t node, Error why) noexcept {
  const std::lock_guard lock(mutex_);
  lose(node, std::move(why));
}

void FillGuard::lose_all(std::string_view why) noexcept {
  const std::lock_guard lock(mutex_);
  for (size_t node = 0; node < targets_.size(); ++node) {
    lose(node, error_of(node, ErrorKind::Closed, why));
  }
}

// "NODE: what", or kOutOfMemory.
Error FillGuard::error_of(size_t node, ErrorKind kind, std::string_view what) const noexcept {
  Error error = {kind, kOutOfMemory};
  try {
    error.text = targets_fleet_.name_of(node).append(": ").append(what);
  } catch (const std::bad_alloc&) {
  }
  return error;
}

// -- Deletes, on their thread.

void FillGuard::withdraw(size_t node, const std::string& key) {
  if (!withdrawn_.insert(key).second) return;
  doomed_.push_back({node, key});
  changed_.notify_all();
}

void FillGuard::run_deletes() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !doomed_.empty(); });
    if (closing_) return;
    deleting_ = true;
    try {
      delete_doomed(lock);
    } catch (const std::exception&) {
      if (!lock.owns_lock()) lock.lock();
      for (size_t node = 0; node < targets_.size(); ++node) {
        lose(node, {ErrorKind::Unreachable, kOutOfMemory, true});
      }
    }
    deleting_ = false;
    changed_.notify_all();
  }
}

// Takes some off doomed_, without the lock while they are deleted.
void FillGuard::delete_doomed(std::unique_lock<std::mutex>& lock) {
  std::vector<Doomed> taken;
  while (!doomed_.empty() && taken.size() < kBatchItems) {
    if (!targets_[doomed_.front().node].lost) taken.push_back(std::move(doomed_.front()));
    doomed_.pop_front();
  }
  lock.unlock();
  std::vector<Operation> deletes;
  for (const Doomed& doomed : taken) deletes.push_back(delete_of(doomed.key));
  const std::vector<Answer> answers = deleting_fleet_.run(deletes);
  lock.lock();
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].outcome == Outcome::Failed) {
      lose(taken[i].node, closed_by(*answers[i].error));
    } else {
      ++deleted_;
    }
  }
}

// -- Adds.

bool FillGuard::is_lost(size_t node) const {
  const std::lock_guard lock(mutex_);
  return targets_[node].lost.has_value();
}

bool FillGuard::are_all_lost() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(targets_.begin(), targets_.end(),
                     [](const Target& target) { return target.lost.has_value(); });
}

std::vector<Permit> FillGuard::begin(std::span<const std::string_view> keys) {
  key_file_.append(keys);
  std::vector<Permit> permits(keys.size());
  std::unique_lock lock(mutex_);
  const auto is_in_flight = [&](std::string_view key) {
    const Target& target = targets_[targets_fleet_.ring().node_of(key)];
    const auto flight = target.in_flight.find(std::string(key));
    return !target.lost && flight != target.in_flight.end() &&
           flight->second.fill != Fill::SentAgain;
  };
  // Few lists of keys have one twice. Its lines have to be told apart.
  if (std::any_of(keys.begin(), keys.end(), is_in_flight)) wait_until_shown(lock, 0);
  for (size_t i = 0; i < keys.size(); ++i) permits[i] = permit(keys[i]);
  return permits;
}

Permit FillGuard::permit(std::string_view key) {
  const size_t node = targets_fleet_.ring().node_of(key);
  Target& target = targets_[node];
  if (target.lost) return Permit::Lost;
  const bool has_changed = seen_.has(hash_of(key));
  const auto flight = target.in_flight.find(std::string(key));
  if (flight == target.in_flight.end()) {
    if (has_changed) return Permit::Changed;
    target.in_flight.try_emplace(std::string(key));
    return Permit::Granted;
  }
  Flight& ours = flight->second;
  if (ours.fill != Fill::SentAgain) return has_changed ? Permit::Changed : Permit::Granted;
  if (ours.shown) {
    ours.fill = Fill::Stored;
    settle(node, flight);
    return Permit::Stored;
  }
  if (has_changed) {
    settle(node, flight);
    return Permit::Changed;
  }
  ours.fill.reset();
  return Permit::Granted;
}

void FillGuard::end(std::span<const std::string_view> keys, std::span<const Fill> fills) {
  assert(keys.size() == fills.size());
  {
    std::unique_lock lock(mutex_);
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t node = targets_fleet_.ring().node_of(keys[i]);
      Target& target = targets_[node];
      const bool is_unstored = fills[i] == Fill::NotStored || fills[i] == Fill::Refused;
      (is_unstored ? unstored_ : filled_).mark(hash_of(keys[i]));
      if (fills[i] == Fill::InDoubt) {
        target.in_doubt = true;
        lose(node, {ErrorKind::Closed,
                    targets_fleet_.name_of(node) + " has not answered all that copy stored there"});
      }
      const auto flight = target.in_flight.find(std::string(keys[i]));
      if (flight == target.in_flight.end()) continue;  // lost
      // Two items of one key in a batch: one of them was stored.
      if (flight->second.fill == Fill::Stored) continue;
      flight->second.fill = fills[i];
      if (fills[i] == Fill::Stored && !flight->second.shown) {
        target.unshown_bytes += cost_of(keys[i]);
      }
    }
    for (const std::string_view key : keys) {
      const size_t node = targets_fleet_.ring().node_of(key);
      const auto flight = targets_[node].in_flight.find(std::string(key));
      if (flight == targets_[node].in_flight.end()) continue;
      if (flight->second.fill == Fill::SentAgain) continue;  // permit() has it again
      if (flight->second.fill != Fill::Stored || flight->second.shown) settle(node, flight);
    }
    for (Target& target : targets_) {
      if (target.lost) target.in_flight.clear();
    }
  }
  // Each step below may cost a timeout. A target that is lost does not wait for the others.
  undo();
  {
    std::unique_lock lock(mutex_);
    wait_until_shown(lock, kMostUnshownBytes);
  }
  undo();
  // Those have lines of which only the server knows how many.
  const auto may_be_refused = [](Fill fill) {
    return fill == Fill::Refused || fill == Fill::Unproven;
  };
  if (std::any_of(fills.begin(), fills.end(), may_be_refused)) pass_marker(false);
  if (std::chrono::steady_clock::now() >= next_check_) check_counters();
}

void FillGuard::abandon() noexcept {
  const std::lock_guard lock(mutex_);
  for (Target& target : targets_) {
    if (target.in_flight.empty()) continue;
    target.in_doubt = true;
    for (const auto& [key, flight] : target.in_flight) filled_.mark(hash_of(key));
  }
}

// Of a key that was answered, and whose line has come if it was stored.
void FillGuard::settle(size_t node, Flights::iterator flight) {
  const auto& [key, ours] = *flight;
  const bool is_stored = ours.fill == Fill::Stored;
  if (ours.shown && !is_stored) {  // another client's add; or else the answer was another one's
    seen_.mark(hash_of(key));
    filled_.mark(hash_of(key));
  }
  // One that was sent again was perhaps stored by the first time.
  if (ours.changed && (is_stored || filled_.has(hash_of(key)))) withdraw(node, key);
  targets_[node].in_flight.erase(flight);
}

// Loses the targets of which more is not shown by the deadline.
void FillGuard::wait_until_shown(std::unique_lock<std::mutex>& lock, size_t most_bytes) {
  const auto is_shown = [&](const Target& target) {
    return target.lost || target.unshown_bytes <= most_bytes;
  };
  changed_.wait_until(lock, deadline(),
                      [&] { return std::all_of(targets_.begin(), targets_.end(), is_shown); });
  for (size_t node = 0; node < targets_.size(); ++node) {
    if (is_shown(targets_[node])) continue;
    lose(node, {ErrorKind::Timeout, "the watch on " + targets_fleet_.name_of(node) +
                                        " does not show what copy stored there"});
  }
}

// A memcached says in its counters what its watch does not.
void FillGuard::check_counters() {
  next_check_ = std::chrono::steady_clock::now() + kBetweenChecks;
  for (size_t node = 0; node < targets_.size(); ++node) {
    undo();
    {
      const std::lock_guard lock(mutex_);
      if (!targets_[node].plain || targets_[node].lost) continue;
    }
    const Result<Stats> stats = ask_stats(targets_fleet_, node, "");
    const std::lock_guard lock(mutex_);
    const Target& target = targets_[node];
    if (!stats) {
      lose(node, closed_by(stats.error()));
    } else if (stats->number_or_zero("cmd_flush") != target.flushes) {
      lose(node, {ErrorKind::Closed, targets_fleet_.name_of(node) + " was flushed meanwhile"});
    } else if (stats->number_or_zero("log_worker_dropped") != target.dropped_lines) {
      lose(node, {ErrorKind::Closed,
                  "the watch on " + targets_fleet_.name_of(node) + " has left out lines"});
    }
  }
}

// -- The end.

void FillGuard::finish() {
  undo();
  {
    std::unique_lock lock(mutex_);
    wait_until_shown(lock, 0);
  }
  undo();
  std::this_thread::sleep_for(kLateLine);
  for (int round = 0; round < kMarkers; ++round) pass_marker(true);
  while (!await_deletes(kBetweenLooks)) undo();
  check_counters();
  do {
    undo_all();
  } while (!close());
}

// Whether all that has changed is deleted, or its target lost.
bool FillGuard::await_deletes(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, longest, [&] { return doomed_.empty() && !deleting_; });
}

// Ends the watches, unless a target was lost meanwhile that undo() has not come to.
bool FillGuard::close() {
  const std::lock_guard lock(mutex_);
  closing_ = std::none_of(targets_.begin(), targets_.end(), [](const Target& target) {
    return target.lost && !target.undone && !target.failed;
  });
  return closing_;
}

// An add that was not answered may be carried out after the delete.
void FillGuard::undo_all() {
  undo_to_the_end();
  await_adds_in_doubt();
  undo_to_the_end();
}

void FillGuard::undo_to_the_end() {
  const auto is_under_way = [](const Target& target) {
    return target.lost && !target.undone && !target.failed;
  };
  for (bool goes_on = true; goes_on;) {
    undo();
    const std::lock_guard lock(mutex_);
    goes_on = std::any_of(targets_.begin(), targets_.end(), is_under_way);
  }
}

void FillGuard::await_adds_in_doubt() {
  std::vector<size_t> nodes;
  {
    const std::lock_guard lock(mutex_);
    for (size_t node = 0; node < targets_.size(); ++node) {
      if (targets_[node].in_doubt) nodes.push_back(node);
    }
  }
  const client::Deadline end = deadline();
  for (const size_t node : nodes) {
    const bool ended = targets_fleet_.await_given_up(node, end);
    const std::lock_guard lock(mutex_);
    targets_[node].in_doubt = !ended;
    targets_[node].undone = false;
    targets_[node].undo_begin = 0;
  }
}

// Changes a key on every target that is not lost, and waits until the watches show it. larderd
// shows a delete of nothing, which needs no room; memcached has to store one.
void FillGuard::pass_marker(bool also_memcached) {
  const std::string marker = run_name_ + "-" + std::to_string(markers_++);
  std::vector<size_t> asked;
  std::vector<bool> plain(targets_.size());
  {
    const std::lock_guard lock(mutex_);
    for (size_t node = 0; node < targets_.size(); ++node) {
      targets_[node].marker = marker;
      targets_[node].marker_shown = false;
      plain[node] = targets_[node].plain;
      if (!targets_[node].lost && (also_memcached || !plain[node])) asked.push_back(node);
    }
  }
  const Operation remove = delete_of(marker);
  Operation store;
  store.verb = Verb::Set;
  store.key = marker;
  store.exptime = kMarkerSeconds;
  const auto perform = [&](size_t node, const Operation& change) {
    undo();  // the markers of slow targets cost a timeout each
    if (is_lost(node)) return;
    const std::vector<Answer> answers = targets_fleet_.run_on(node, {&change, 1});
    if (answers[0].outcome == Outcome::Failed) give_up(node, closed_by(*answers[0].error));
  };
  for (const size_t node : asked) perform(node, plain[node] ? store : remove);
  {
    std::unique_lock lock(mutex_);
    const auto is_through = [&](size_t node) {
      return targets_[node].marker_shown || targets_[node].lost;
    };
    changed_.wait_until(lock, deadline(),
                        [&] { return std::all_of(asked.begin(), asked.end(), is_through); });
    for (const size_t node : asked) {
      if (is_through(node)) continue;
      lose(node, {ErrorKind::Timeout, "the watch on " + targets_fleet_.name_of(node) +
                                          " does not show what copy stored there"});
    }
  }
  for (const size_t node : asked) {
    if (plain[node]) perform(node, remove);
  }
}

// All at once, as a target that is silent costs a timeout.
void FillGuard::undo() {
  if (go_on_ && !go_on_()) lose_all(kInterrupted);
  const auto is_due_with_lock = [](const Target& target) { return target.lost && !target.undone; };
  const auto is_due = [&](size_t node) {
    const std::lock_guard lock(mutex_);
    return is_due_with_lock(targets_[node]);
  };
  {
    const std::lock_guard lock(mutex_);
    if (std::none_of(targets_.begin(), targets_.end(), is_due_with_lock)) return;
  }
  const UndoPart part = {
      std::chrono::steady_clock::now() + targets_fleet_.settings().timeout / kUndoParts,
      lost_count()};
  try {
    targets_fleet_.on_every_node([&](size_t node) {
      if (is_due(node)) undo_on(node, part);
    });
  } catch (const std::exception&) {  // of those that have no thread
    for (size_t node = 0; node < targets_.size(); ++node) {
      if (is_due(node)) undo_on(node, part);
    }
  }
}

size_t FillGuard::lost_count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(targets_.begin(), targets_.end(),
                    [](const Target& target) { return target.lost.has_value(); }));
}

bool FillGuard::goes_on(const UndoPart& part) const {
  return std::chrono::steady_clock::now() < part.end && lost_count() == part.lost;
}

// Where it throws, the next undo() tries again.
void FillGuard::undo_on(size_t node, const UndoPart& part) noexcept {
  Error why = {ErrorKind::Closed, kOutOfMemory, true};  // both texts are so short: they need none
  try {
    delete_added(node, part);
    return;
  } catch (const std::system_error&) {
    why.text = "unreadable file";
  } catch (const std::exception&) {
  }
  const std::lock_guard lock(mutex_);
  targets_[node].failed = std::move(why);
}

// Keys that another client stores meanwhile are deleted, too: misses, and no old values.
void FillGuard::delete_added(size_t node, const UndoPart& part) {
  uint64_t begin = 0;
  {
    const std::lock_guard lock(mutex_);
    begin = targets_[node].undo_begin;
  }
  bool is_whole = true;
  std::optional<Error> failed;
  uint64_t deleted = 0;
  std::vector<std::string> keys;
  const auto delete_keys = [&] {
    std::vector<Operation> deletes;
    for (const std::string& key : keys) deletes.push_back(delete_of(key));
    for (const Answer& answer : targets_fleet_.run_on(node, deletes)) {
      if (answer.outcome == Outcome::Failed && !failed) failed = answer.error;
      if (answer.outcome == Outcome::Done) ++deleted;
    }
    keys.clear();
    return !failed;
  };
  const uint64_t end = key_file_.for_each(begin, [&](std::string_view key) {
    // No other thread changes filled_ meanwhile.
    if (targets_fleet_.ring().node_of(key) != node || !filled_.has(hash_of(key))) return true;
    keys.emplace_back(key);
    if (keys.size() < kBatchItems) return true;
    if (!delete_keys()) return false;
    is_whole = goes_on(part);
    return is_whole;
  });
  if (!failed && !keys.empty()) delete_keys();
  const std::lock_guard lock(mutex_);
  targets_[node].failed = std::move(failed);
  targets_[node].deleted += deleted;
  targets_[node].undone = is_whole;
  targets_[node].undo_begin = end;
}

FillCounts FillGuard::counts() const {
  const std::lock_guard lock(mutex_);
  FillCounts counts;
  counts.withdrawn = deleted_;
  for (const Target& target : targets_) counts.undone += target.deleted;
  return counts;
}

std::vector<std::pair<size_t, Error>> FillGuard::errors() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<size_t, Error>> errors;
  for (size_t node = 0; node < targets_.size(); ++node) {
    const Target& target = targets_[node];
    if (!target.lost) continue;
    Error error = *target.lost;
    if (error.text == kOutOfMemory) error.text = targets_fleet_.name_of(node) + ": " + kOutOfMemory;
    if (target.failed) {
      error.is_local = error.is_local || target.failed->is_local;
      error.text +=
          "; " + targets_fleet_.name_of(node) +
          " may have old values now, since what copy stored there could not be deleted (" +
          target.failed->text + "): flush it";
    } else if (target.in_doubt) {
      error.text += "; " + targets_fleet_.name_of(node) +
                    " may store old values yet, for it has not closed a connection on which copy "
                    "stored: flush it once it answers";
    } else if (target.deleted > 0) {
      error.text +=
          "; copy has deleted its items there (deletes: " + std::to_string(target.deleted) + ")";
    }
    errors.emplace_back(node, std::move(error));
  }
  return errors;
}

}  // namespace larder::operate
