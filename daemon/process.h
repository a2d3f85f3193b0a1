// Process: what larderd asks of the operating system before it serves, and tells it afterwards:
// limits, user, background, pid file, memory.
//
// Called from main, in the order in which they stand here, before any thread exists. What cannot be
// had throws SettingsError: one sentence that names the option and the value, and the exit code.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/settings.h"

namespace larder::daemon {

// -r: core files as large as allowed. -c: enough file descriptors; takes what is there, with a
// warning, where that is at least one for each connection. -k: as root, lifts the limit on locked
// memory. -L: the kernel must offer huge pages.
void set_limits(const Settings& settings);

// -u, which root must give, or a --config file without it: root stays root then, as the format has
// it. Comes before the sockets, so that the unix socket and the pid file
// belong to the user; ports below 1024 need another way (CAP_NET_BIND_SERVICE), as with memcached.
void become_user(const Settings& settings);

// -d. Forks; the child goes on from the constructor, the parent waits until it calls ready() and
// exits with 0, or exits as the child does if that comes first. Until then the child writes to the
// parent's stderr, so that whoever started it sees why it failed.
class Background {
 public:
  explicit Background(bool wanted);
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background();

  // Clients can connect. Leaves the terminal and the directory.
  //
  // keep_directory  -r: a core file belongs where the program was started
  // keep_streams    -v: what is said goes on to the parent's streams
  void ready(bool keep_directory, bool keep_streams);

 private:
  int tell_parent_ = -1;  // the writing end of a pipe; -1: in the foreground
};

// Paths that are used after Background::ready has left the directory.
void make_paths_absolute(Settings& settings);

// -k: locks what is mapped, and each page that is touched from now on. Locking whole mappings would
// fetch all memory that is only reserved. A failure is a warning, as with memcached.
void lock_memory();

// -P: written when built, removed when destroyed. An empty path is no file; one that cannot be
// written is a warning, as with memcached: nothing hangs on it.
class PidFile {
 public:
  explicit PidFile(std::string path);
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

 private:
  std::string path_;
};

}  // namespace larder::daemon
