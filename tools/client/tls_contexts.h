// TlsContexts: what has been made of the files of TLS, for the connections that use the same.
//
// The authorities of a system are some hundred certificates: to read them takes longer than a
// connection may, where many begin at once. So connections share a context as long as its files
// are unchanged.
#pragma once

#include <openssl/ssl.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "tools/client/connection.h"
#include "tools/client/deadline.h"
#include "tools/client/result.h"

namespace larder::client {

// Any thread. Keeps the kMost contexts that were used last.
class TlsContexts {
 public:
  static constexpr size_t kMost = 8;

  using Context = std::shared_ptr<SSL_CTX>;
  using Make = std::function<Result<Context>(const TlsSettings&)>;

  // Those of this process. A child of fork() begins with none: a thread that it does not have may
  // have held the lock of its parent's.
  static TlsContexts& of_process();

  // A context that was made with these settings, of files that have changed in none of length,
  // times, inode and device since; else what `make` makes, which a second caller waits for. Errors
  // are those of `make`, and Timeout at the deadline, past which none is made.
  Result<Context> get(const TlsSettings& settings, Deadline deadline, const Make& make);

 private:
  struct Kept {
    std::string key;
    Context context;
  };
  struct Making;

  std::mutex mutex_;
  std::condition_variable made_;
  // Guarded by mutex_:
  std::list<Kept> kept_;           // the last used first
  std::list<std::string> making_;  // keys
};

}  // namespace larder::client
