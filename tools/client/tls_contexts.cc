#include "tools/client/tls_contexts.h"

#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "tools/client/process.h"

namespace larder::client {
namespace {

// Appends what tells two versions of a file apart.
void add_file(std::string& key, const std::string& name) {
  struct stat file = {};
  const bool is_there = !name.empty() && stat(name.c_str(), &file) == 0;
  key.append(name).push_back('\0');
  if (!is_there) return;
  const auto add = [&](auto number) { key.append(std::to_string(number)).push_back(' '); };
  add(file.st_dev);
  add(file.st_ino);
  add(file.st_size);
  for (const timespec& time : {file.st_mtim, file.st_ctim}) {
    add(time.tv_sec);
    add(time.tv_nsec);
  }
}

std::string or_default(const char* variable, const char* usual) {
  const char* const named = secure_getenv(variable);
  return named != nullptr ? named : usual;
}

std::string key_of(const TlsSettings& settings) {
  std::string key = settings.verify ? "verify " : "trust ";
  add_file(key, settings.ca_file);
  if (settings.ca_file.empty()) {
    add_file(key, or_default(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
    add_file(key, or_default(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
  }
  add_file(key, settings.certificate_file);
  add_file(key, settings.key_file);
  return key;
}

bool is_late(Deadline deadline) {
  return deadline != Deadline::max() && std::chrono::steady_clock::now() >= deadline;
}

struct OfProcess {
  uint32_t generation;  // process_generation()
  OfProcess* before;    // the parent's, never used again
  TlsContexts contexts = {};
};

// Release and acquire: who finds it finds it made. Never freed, as a thread may use it to the end.
std::atomic<OfProcess*> newest = nullptr;

}  // namespace

// Marks a key as being made, while it lives.
struct TlsContexts::Making {
  TlsContexts& contexts;
  std::list<std::string>::iterator key;
  ~Making() {
    {
      const std::lock_guard lock(contexts.mutex_);
      contexts.making_.erase(key);
    }
    contexts.made_.notify_all();
  }
};

TlsContexts& TlsContexts::of_process() {
  OfProcess* found = newest.load(std::memory_order_acquire);
  while (found == nullptr || found->generation != process_generation()) {
    std::unique_ptr<OfProcess> made(new OfProcess{process_generation(), found});
    if (newest.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) {
      found = made.release();
    }
  }
  return found->contexts;
}

Result<TlsContexts::Context> TlsContexts::get(const TlsSettings& settings, Deadline deadline,
                                              const Make& make) {
  const std::string key = key_of(settings);
  const Error late{ErrorKind::Timeout, "the files of TLS were not read in time"};
  std::unique_lock lock(mutex_);
  while (true) {
    const auto kept =
        std::find_if(kept_.begin(), kept_.end(), [&](const Kept& one) { return one.key == key; });
    if (kept != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, kept);
      return kept->context;
    }
    if (is_late(deadline)) return late;
    if (std::find(making_.begin(), making_.end(), key) == making_.end()) break;
    if (deadline == Deadline::max()) {
      made_.wait(lock);
    } else {
      made_.wait_until(lock, deadline);
    }
  }
  making_.push_front(key);
  const Making making{*this, making_.begin()};
  lock.unlock();
  Result<Context> made = make(settings);
  std::list<Kept> one;
  if (made.ok()) one.push_back({key, *made});
  std::list<Kept> forgotten;  // freed without the lock
  lock.lock();
  kept_.splice(kept_.begin(), one);
  if (kept_.size() > kMost) forgotten.splice(forgotten.end(), kept_, std::prev(kept_.end()));
  lock.unlock();
  return made;
}

}  // namespace larder::client
