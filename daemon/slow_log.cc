#include "daemon/slow_log.h"

#include <utility>

#include "daemon/exposition.h"
#include "daemon/log.h"

namespace larder::daemon {
namespace {

LogSite slow_site;

std::string sentence(const SlowRequest& request) {
  std::string text = "slow request: " + std::string(name_of(request.kind));
  if (!request.key.empty()) text += " '" + printable_key(request.key) + "'";
  text += " took " + std::to_string(request.microseconds) + " us";
  if (request.commands > 1) {
    text += ", with " + std::to_string(request.commands - 1) + " that came with it";
  }
  return text;
}

}  // namespace

void SlowLog::add(SlowRequest request) {
  log(LogLevel::Warning, slow_site, sentence(request));
  core::MutexLock lock(mutex_);
  ++total_;
  requests_.push_back(std::move(request));
  if (requests_.size() > kKept) requests_.pop_front();
}

std::vector<SlowRequest> SlowLog::latest(uint64_t& total) {
  core::MutexLock lock(mutex_);
  total = total_;
  return {requests_.rbegin(), requests_.rend()};
}

void SlowLog::clear() {
  core::MutexLock lock(mutex_);
  requests_.clear();
  total_ = 0;
}

}  // namespace larder::daemon
