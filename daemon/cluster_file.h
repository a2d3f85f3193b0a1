// ClusterFile: the list of nodes as a file says it (--cluster-file), followed while the server
// runs.
//
// The file is what cluster_list.h describes, and its last line ends in a newline: without one it
// may have been cut off. If it gives no version, the time of its last change in seconds is the
// version. What cannot be used is refused as a whole with a line in the log, and the list before it
// stays.
//
// Changes are seen at once through inotify on the file's folder, so that it does not matter whether
// the file is written in place, replaced by another one, or comes later; and at the latest after
// kLookSeconds, also where inotify sees nothing (network file systems, links into other folders, a
// folder that is replaced). One thread, that of the event base; read() any.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>

#include "core/mutex.h"
#include "daemon/discovery.h"
#include "daemon/event_ptr.h"
#include "daemon/socket.h"

namespace larder::daemon {

class ClusterFile {
 public:
  static constexpr int kLookSeconds = 2;
  static constexpr size_t kMaxBytes = 32 * 1024;

  // `discovery` must outlive it.
  ClusterFile(std::string path, Discovery& discovery);
  ClusterFile(const ClusterFile&) = delete;
  ClusterFile& operator=(const ClusterFile&) = delete;

  // Reads the file, changed or not. Any thread.
  void read();

  // From now on it is read when it changes, until this goes, which must be before the base does.
  // Throws std::runtime_error if memory or descriptors ran out.
  void follow(event_base* base);

 private:
  // By what a change is known.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t bytes = -1;  // there is no file
    timespec changed = {};

    bool operator==(const Stamp& other) const noexcept;
  };

  static void on_notice(int fd, short what, void* self);
  static void on_look(int fd, short what, void* self);

  static Stamp stamp_of(const struct stat& status) noexcept;
  Stamp stamp() const noexcept;  // of what is there now
  void look();                   // reads it if it has changed
  void read_now() REQUIRES(mutex_);
  void read_or_throw() REQUIRES(mutex_);
  void take_notices();
  void watch_folder();
  void use(const std::string& text, int64_t changed_at);
  void refuse(const std::string& why);

  const std::string path_;
  const std::string folder_;
  const std::string name_;
  Discovery& discovery_;
  core::Mutex mutex_;              // one reads at a time
  Stamp read_ GUARDED_BY(mutex_);  // as of the last time
  Socket notices_;                 // of inotify
  int watch_ = -1;                 // of the folder, -1: none
  Stamp watched_;                  // the folder that is watched
  EventPtr notice_event_;
  EventPtr look_event_;
};

}  // namespace larder::daemon
