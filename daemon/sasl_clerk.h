// SaslClerk, SaslJob: asking libsasl without making a worker's other clients wait.
//
// The library answers when whoever it asks has answered: a file at once, a daemon or a network when
// they can, and PAM takes seconds over a wrong password on purpose. So the clerk asks, on threads
// of its own, and the connection goes on when the answer is there.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/mutex.h"
#include "daemon/sasl.h"
#include "daemon/secret.h"

namespace larder::daemon {

// A start or a step of one client's exchange. Shared by the client's thread, which asks, and the
// clerk.
class SaslJob {
 public:
  enum class What : uint8_t { Start, Step };

  // exchange  what earlier jobs of this client have left; null: none
  // response  copied to where core files do not reach
  // answered  called on a thread of the clerk's as soon as done() is true
  SaslJob(What what, std::unique_ptr<SaslExchange> exchange, std::string_view mechanism,
          std::string_view response, std::function<void()> answered);

  // -- The client's thread.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  // Nobody waits any more: `answered` will not be called, nor is it being called.
  void forget() EXCLUDES(mutex_);

  // -- Likewise, once it is done.
  SaslExchange::Status status() const noexcept { return status_; }
  std::string_view challenge() const noexcept { return challenge_; }
  std::unique_ptr<SaslExchange> take_exchange() { return std::move(exchange_); }

  // -- The clerk's.
  void run(const Sasl& sasl) EXCLUDES(mutex_);

 private:
  SaslExchange::Status ask(const Sasl& sasl);

  const What what_;
  std::unique_ptr<SaslExchange> exchange_;
  const std::string mechanism_;
  SecretBytes response_;
  SaslExchange::Status status_ = SaslExchange::Status::Failed;
  std::string challenge_;
  std::atomic<bool> done_{false};
  core::Mutex mutex_;
  std::function<void()> answered_ GUARDED_BY(mutex_);
};

class SaslClerk {
 public:
  // So many questions are asked at a time; others wait for their turn.
  static constexpr size_t kThreads = 8;

  explicit SaslClerk(const Sasl& sasl) : sasl_(sasl) {}
  // Waits for those that are being asked; the others are dropped.
  ~SaslClerk();
  SaslClerk(const SaslClerk&) = delete;
  SaslClerk& operator=(const SaslClerk&) = delete;

  // -- Any thread.
  std::unique_ptr<SaslExchange> make_exchange() const { return SaslExchange::make(sasl_); }
  void ask(std::shared_ptr<SaslJob> job) EXCLUDES(mutex_);

 private:
  void run();
  // The next job, once there is one; null when it is time to leave.
  std::shared_ptr<SaslJob> next() EXCLUDES(mutex_);

  const Sasl& sasl_;
  core::Mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<SaslJob>> waiting_ GUARDED_BY(mutex_);
  size_t idle_ GUARDED_BY(mutex_) = 0;  // threads without a job
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);  // made when there is something to do
};

}  // namespace larder::daemon
