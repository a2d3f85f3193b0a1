// FillGuard: watches the servers that copy adds items to, and deletes there what has changed
// meanwhile, so that no value of the source hides a newer one.
//
//   source --read--> larder --add--> target <-- other clients
//                      ^---- watch ----'
//
// 1. The watch of every target is open before the first item is read.
// 2. A key that was seen to change on a target is not added there any more.
// 3. A key that was added and is seen to change is deleted, once. The change may have come before
//    the add (a delete of a key that was not there yet); if it came after it, the delete costs a
//    miss.
// 4. A key whose add was NotStored or Refused counts as added once an add of it is shown: the reply
//    may be that to another add.
// 5. When finish() returns, every change has been seen that the target acknowledged before.
// 6. A target whose watch ends, leaves lines out, tells of a flush_all, or does not show what was
//    added there is lost: nothing more is added, and all that was added is deleted.
//
// On larderd the watch is `watch changes`, which shows all changes. memcached refuses that word and
// gets `watch mutations deletions`, an old one `watch mutations`, with a look at its counters
// (flush_all, lines dropped) once a second: it shows no binary delete, no delete of a key that is
// not there, no touch, and no md with I; a target where a delayed flush_all is still to come is
// lost. Of neither are expiry and eviction seen.
//
// Memory: three KeyMarks, and each key that was added and changed. The keys that were added are in
// a temporary file (KeyFile).
//
// A thread for each target reads its watch, one more deletes. What is public belongs to one thread,
// that of the fleet.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tools/client/result.h"
#include "tools/client/transport.h"
#include "tools/larder/fleet.h"
#include "tools/larder/key_file.h"
#include "tools/larder/key_marks.h"

namespace larder::operate {

// Whether a key may be added.
enum class Permit : uint8_t {
  Granted,
  Stored,   // an add of it was SentAgain, and the watch has shown that one: not to be sent
  Changed,  // it was seen to change since open(), or, rarely, another key was (KeyMarks)
  Lost      // its target is lost
};

// Why targets are lost after a signal.
constexpr char kInterrupted[] = "copy was interrupted";

// What became of an item that was sent with add.
enum class Fill : uint8_t {
  NotStored,  // the key was there
  Refused,    // not stored, for want of room for example
  Unproven,   // NotStored or Refused, as far as the answer is its own: it may have been stored
  Stored,
  // Without an answer; the connection has ended, and the item is sent on another: begin() gets the
  // key once more, unless its target is lost.
  SentAgain,
  InDoubt  // without an answer, and the server may store it yet: the target is lost
};

struct FillCounts {
  uint64_t withdrawn = 0;  // deleted again: the key has changed meanwhile
  uint64_t undone = 0;     // deleted again: the target was lost
};

class FillGuard {
 public:
  // targets  outlive this. Throws std::system_error if there is no temporary file.
  explicit FillGuard(Fleet& targets);
  // Ends the threads. Deletes nothing: see undo().
  ~FillGuard();
  FillGuard(const FillGuard&) = delete;
  FillGuard& operator=(const FillGuard&) = delete;

  // Opens all watches, and returns when they show what happens, or go_on() has said false: it is
  // asked again and again, and by undo() as long as this lives. A target that cannot be watched, or
  // refuses the deletes that this may need later, is lost. Throws std::system_error if there are no
  // threads.
  void open(const std::function<bool()>& go_on);

  bool is_lost(size_t node) const;
  bool are_all_lost() const;

  // Around each batch of adds. begin() says of each key whether it may be sent, and throws
  // std::system_error if the temporary file cannot take the keys: none may be sent then. end() gets
  // those that were sent, and waits while a watch is behind by more than 24 KiB of lines.
  //
  // fills  as many as keys: fills[i] is what became of keys[i]
  std::vector<Permit> begin(std::span<const std::string_view> keys);
  void end(std::span<const std::string_view> keys, std::span<const Fill> fills);

  // In the place of end(): any of the keys that begin() permitted may have been added.
  void abandon() noexcept;

  // Takes a target for lost.
  void give_up(size_t node, client::Error why) noexcept;
  // Gives all targets up. Where memory is out, why is not kept.
  void lose_all(std::string_view why) noexcept;
  // Gives all targets up (kInterrupted) where go_on() of open() says false. Deletes what was added
  // on targets that are lost: for a part of the timeout, so that a target with many items does not
  // keep the caller, and with it another one that is lost meanwhile. The next call goes on.
  void undo();
  // All of it; where adds have no answer it also waits for them, and deletes again.
  void undo_all();
  // Waits until every change was seen that was acknowledged before, and what has changed is
  // deleted; then undo_all(). From then on no target is lost any more by what its watch does: the
  // errors() stay as they are.
  void finish();

  FillCounts counts() const;
  // Why targets were lost, and what that means, by node. The kind is that of the cause for those
  // that could not be watched at all, else one whose status is kUnreachable.
  std::vector<std::pair<size_t, client::Error>> errors() const;

 private:
  struct Flight {
    std::optional<Fill> fill;  // null: without an answer yet
    bool shown = false;        // its line has come
    bool changed = false;      // another line of the key has
  };
  using Flights = std::unordered_map<std::string, Flight>;
  struct Target {
    bool watching = false;
    bool plain = false;  // memcached's words, so that the counters count, too
    uint64_t flushes = 0, dropped_lines = 0;
    std::optional<client::Error> lost;
    bool undone = false;      // or it could not be: see `failed`
    uint64_t undo_begin = 0;  // the place in key_file_ from which on it is not
    bool in_doubt = false;
    uint64_t deleted = 0;                 // by undo()
    std::optional<client::Error> failed;  // of undo()
    Flights in_flight;
    size_t unshown_bytes = 0;  // of lines of those in flight that are Stored
    std::string marker;        // the key whose line is waited for
    bool marker_shown = false;
    client::Descriptor socket;  // a copy, to end the watch
    std::thread thread;
  };
  // Of the deletes of an undo(): until then, or until more targets are lost.
  struct UndoPart {
    client::Deadline end;
    size_t lost;
  };
  struct Doomed {
    size_t node;
    std::string key;
  };

  void run_watch(size_t node) noexcept;
  client::Result<void> watch(size_t node, std::string_view command, bool plain);
  bool take_line(size_t node, std::string_view line);
  void take_change(size_t node, const std::string& key, bool is_add);
  void run_deletes() noexcept;
  void delete_doomed(std::unique_lock<std::mutex>& lock);

  client::Error error_of(size_t node, client::ErrorKind kind, std::string_view what) const noexcept;

  // With mutex_.
  void lose(size_t node, client::Error why) noexcept;
  void withdraw(size_t node, const std::string& key);
  Permit permit(std::string_view key);
  void settle(size_t node, Flights::iterator flight);
  void wait_until_shown(std::unique_lock<std::mutex>& lock, size_t most_bytes);

  void try_delete();
  void pass_marker(bool also_memcached);
  void check_counters();
  bool await_deletes(std::chrono::milliseconds longest);
  bool close();
  void await_adds_in_doubt();
  void undo_to_the_end();
  size_t lost_count() const;
  bool goes_on(const UndoPart& part) const;
  void undo_on(size_t node, const UndoPart& part) noexcept;
  void delete_added(size_t node, const UndoPart& part);
  client::Deadline deadline() const { return targets_fleet_.deadline(); }

  Fleet& targets_fleet_;
  std::function<bool()> go_on_;  // of open()
  Fleet deleting_fleet_;         // connections of run_deletes()
  const std::string run_name_;   // of the markers
  KeyFile key_file_;
  std::chrono::steady_clock::time_point next_check_{};
  int markers_ = 0;  // passed

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // anything below
  std::vector<Target> targets_;      // by node
  KeyMarks seen_;                    // keys that have changed
  KeyMarks filled_;                  // keys that were added, or may have been
  KeyMarks unstored_;                // keys of which an add was NotStored or Refused
  std::unordered_set<std::string> withdrawn_;
  std::deque<Doomed> doomed_;  // to be deleted
  bool deleting_ = false;
  bool closing_ = false;
  uint64_t deleted_ = 0;
  std::thread deleter_;
};

}  // namespace larder::operate
