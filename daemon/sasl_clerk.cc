#include "daemon/sasl_clerk.h"

#include <pthread.h>

#include <cstring>
#include <new>
#include <system_error>
#include <utility>

namespace larder::daemon {

SaslJob::SaslJob(What what, std::unique_ptr<SaslExchange> exchange, std::string_view mechanism,
                 std::string_view response, std::function<void()> answered)
    : what_(what),
      exchange_(std::move(exchange)),
      mechanism_(mechanism),
      response_(response.size()),
      answered_(std::move(answered)) {
  if (!response.empty()) std::memcpy(response_.bytes().data(), response.data(), response.size());
}

void SaslJob::forget() {
  core::MutexLock lock(mutex_);
  answered_ = nullptr;
}

void SaslJob::run(const Sasl& sasl) {
  try {
    status_ = ask(sasl);
  } catch (const std::bad_alloc&) {
    status_ = SaslExchange::Status::Failed;
  }
  response_ = SecretBytes();
  core::MutexLock lock(mutex_);
  done_.store(true, std::memory_order_release);
  if (answered_) answered_();
}

SaslExchange::Status SaslJob::ask(const Sasl& sasl) {
  using Status = SaslExchange::Status;
  if (exchange_ == nullptr) exchange_ = SaslExchange::make(sasl);
  if (exchange_ == nullptr) return Status::Failed;
  const std::string_view response(response_.bytes().data(), response_.bytes().size());
  const SaslExchange::Result result =
      what_ == What::Start ? exchange_->start(mechanism_, response) : exchange_->step(response);
  challenge_ = result.challenge;
  return result.status;
}

SaslClerk::~SaslClerk() {
  std::vector<std::thread> threads;
  {
    core::MutexLock lock(mutex_);
    stopping_ = true;
    waiting_.clear();
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void SaslClerk::ask(std::shared_ptr<SaslJob> job) {
  {
    core::MutexLock lock(mutex_);
    if (waiting_.size() >= idle_ && threads_.size() < kThreads) {
      try {
        threads_.emplace_back([this] { run(); });
        pthread_setname_np(threads_.back().native_handle(), "larder-sasl");
      } catch (const std::system_error&) {
        // Those that there are do it, one after the other.
      }
    }
    if (!threads_.empty()) waiting_.push_back(std::exchange(job, nullptr));
  }
  if (job != nullptr) return job->run(sasl_);  // better late than never
  changed_.notify_one();
}

std::shared_ptr<SaslJob> SaslClerk::next() {
  core::MutexLock lock(mutex_);
  ++idle_;
  while (!stopping_ && waiting_.empty()) changed_.wait(mutex_);
  --idle_;
  if (stopping_) return nullptr;
  std::shared_ptr<SaslJob> job = std::move(waiting_.front());
  waiting_.pop_front();
  return job;
}

void SaslClerk::run() {
  while (const std::shared_ptr<SaslJob> job = next()) job->run(sasl_);
}

}  // namespace larder::daemon
