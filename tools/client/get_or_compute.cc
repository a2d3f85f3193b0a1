// Client::get_or_compute; computed.h has the rules.
#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "tools/client/client_state.h"
#include "tools/client/retry.h"

namespace larder::client {
namespace {

// The right to compute one key: lets the next one win if it ends without a value.
class Win {
 public:
  Win(ClientState& state, std::string_view key, const Answer& answer, const ComputeOptions& options)
      : state_(state), key_(key), answer_(answer), options_(options) {}
  ~Win() {
    if (stored_) return;
    try {
      give_up();
    } catch (const std::bad_alloc&) {
      // The next one wins after compute_seconds.
    }
  }
  Win(const Win&) = delete;
  Win& operator=(const Win&) = delete;

  // Why it could not be stored. Empty also if somebody else had a say meanwhile.
  std::optional<Error> store(std::string_view value, int32_t exptime) {
    if (answer_.cas == 0) {
      return Error{ErrorKind::BadRequest,
                   "the server has no versions: nothing is stored over what "
                   "may be newer"};
    }
    const Answer stored = state_.run_one({.verb = Verb::Set,
                                          .key = key_,
                                          .value = value,
                                          .client_flags = options_.client_flags,
                                          .exptime = exptime,
                                          .cas = answer_.cas});
    // What no server would take leaves the empty item there.
    stored_ = !stored.error || stored.error->kind != ErrorKind::BadRequest;
    return stored.error;
  }

 private:
  // A value that is about to expire is marked as stale, which lets the next one win and keeps it
  // for the others, for as long as it may have had. One that was stale before goes: marking it
  // again would prolong it with every failure. So does the empty item of a miss.
  void give_up() {
    Operation operation{.verb = Verb::Delete, .key = key_, .cas = answer_.cas};
    if (!answer_.stale && !answer_.value.empty()) {
      operation.invalidate = true;
      operation.exptime = static_cast<int32_t>(std::max(options_.refresh_seconds, 1u));
    }
    state_.run_one(operation);
  }

  ClientState& state_;
  const std::string_view key_;
  const Answer& answer_;
  const ComputeOptions& options_;
  bool stored_ = false;
};

Result<Computed> compute_alone(const Compute& compute, Error not_stored) {
  Result<std::string> value = compute();
  if (!value) return value.error();
  return Computed{std::move(*value), Computed::From::Anew, std::move(not_stored)};
}

Result<Computed> compute_as_winner(ClientState& state, std::string_view key, int32_t exptime,
                                   const Answer& answer, const Compute& compute,
                                   const ComputeOptions& options) {
  Win win(state, key, answer, options);
  Result<std::string> value = compute();
  if (!value) return value.error();
  std::optional<Error> not_stored = win.store(*value, exptime);
  return Computed{std::move(*value), Computed::From::Anew, std::move(not_stored)};
}

// The empty item that a winner's miss has made. A value that is empty itself and being refreshed
// looks the same; then one waits for the new one.
bool is_placeholder(const Answer& answer) { return answer.others && answer.value.empty(); }

}  // namespace

Result<Computed> Client::get_or_compute(std::string_view key, int32_t exptime,
                                        const Compute& compute, const ComputeOptions& options) {
  if (state_->options.connection.dialect != Dialect::Meta) {
    return Error{ErrorKind::BadRequest, "get_or_compute needs the dialect meta"};
  }
  constexpr std::chrono::milliseconds kMostWait = std::chrono::hours(24 * 365);
  const std::chrono::milliseconds wait =
      options.wait.value_or(std::chrono::seconds(int64_t{options.compute_seconds} + 2));
  const auto patience = std::chrono::steady_clock::now() + std::min(wait, kMostWait);
  const Operation look{.verb = Verb::Get,
                       .key = key,
                       .vivify_seconds = std::max(options.compute_seconds, 1u),
                       .recache_seconds = options.refresh_seconds};
  while (true) {
    Answer answer = state_->run_one(look);
    if (answer.outcome == Outcome::Failed) {
      const bool alone = options.compute_without_cache && answer.error->is_of_the_network();
      if (alone) return compute_alone(compute, std::move(*answer.error));
      return std::move(*answer.error);
    }
    if (answer.won) {
      return compute_as_winner(*state_, key, exptime, answer, compute, options);
    }
    if (answer.stale && options.accept_stale) {
      return Computed{std::move(answer.value), Computed::From::Stale, {}};
    }
    if (!answer.stale && answer.outcome == Outcome::Done && !is_placeholder(answer)) {
      return Computed{std::move(answer.value), Computed::From::Cache, {}};
    }
    const auto next = std::chrono::steady_clock::now() + retry_pause(options.look, 1, any_chance());
    if (next > patience) {
      return Error{ErrorKind::Timeout, "somebody else is still computing the value"};
    }
    std::this_thread::sleep_until(next);
  }
}

}  // namespace larder::client
