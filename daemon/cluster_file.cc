#include "daemon/cluster_file.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "daemon/log.h"

namespace larder::daemon {
namespace {

// Written and closed, or brought by a rename. While it is being written nobody looks.
constexpr uint32_t kNotices = IN_CLOSE_WRITE | IN_MOVED_TO;

constexpr timeval kLookInterval = {ClusterFile::kLookSeconds, 0};

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// All of it; nothing on an error, which is in `errno`.
std::optional<std::string> contents_of(int fd) {
  std::string text(ClusterFile::kMaxBytes + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace

bool ClusterFile::Stamp::operator==(const Stamp& other) const noexcept {
  return device == other.device && inode == other.inode && bytes == other.bytes &&
         changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec;
}

ClusterFile::ClusterFile(std::string path, Discovery& discovery)
    : path_(std::move(path)),
      folder_(folder_of(path_)),
      name_(std::filesystem::path(path_).filename().string()),
      discovery_(discovery) {}

void ClusterFile::read() {
  core::MutexLock lock(mutex_);
  read_now();
}

void ClusterFile::read_now() {
  try {
    read_or_throw();
  } catch (const std::bad_alloc&) {
    read_ = Stamp{};  // so that the next look reads it again
    log(LogLevel::Warning, "option --cluster-file: cannot read it: out of memory");
  }
}

void ClusterFile::read_or_throw() {
  // Not blocking, so that a pipe of that name is refused and not waited for.
  const Socket file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (!file || fstat(file.fd(), &status) != 0) {
    const int error = errno;
    read_ = Stamp{};
    return refuse(std::string("cannot read it: ") + std::strerror(error));
  }
  read_ = stamp_of(status);
  if (!S_ISREG(status.st_mode)) return refuse("it is not a file");
  const std::optional<std::string> text = contents_of(file.fd());
  if (!text) return refuse(std::string("cannot read it: ") + std::strerror(errno));
  use(*text, status.st_mtim.tv_sec);
}

void ClusterFile::use(const std::string& text, int64_t changed_at) {
  if (text.size() > kMaxBytes) {
    return refuse("it is longer than " + std::to_string(kMaxBytes >> 10) + " KiB");
  }
  if (!text.empty() && text.back() != '\n') return refuse("its last line does not end");
  ParsedClusterList parsed = parse_cluster_list(text);
  if (!parsed.error.empty()) return refuse(parsed.error);
  if (parsed.list.version == 0) {
    const auto published = discovery_.published();
    if (published != nullptr && published->list.nodes == parsed.list.nodes) return;  // only touched
    parsed.list.version = static_cast<uint64_t>(std::max<int64_t>(changed_at, 1));
  }
  if (!discovery_.offer(parsed.list)) return;
  log(LogLevel::Info, "option --cluster-file: version " + std::to_string(parsed.list.version) +
                          " has " + std::to_string(parsed.list.nodes.size()) +
                          (parsed.list.nodes.size() == 1 ? " node" : " nodes"));
}

void ClusterFile::refuse(const std::string& why) {
  const auto published = discovery_.published();
  log(LogLevel::Warning,
      "option --cluster-file: cannot use '" + path_ + "': " + why +
          (published == nullptr
               ? std::string("; there is no list of nodes yet")
               : "; version " + std::to_string(published->list.version) + " stays in force"));
}

// -- Following it.

void ClusterFile::follow(event_base* base) {
  notices_ = Socket(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (notices_) {
    notice_event_ = make_event(base, notices_.fd(), EV_READ | EV_PERSIST, on_notice, this);
    if (notice_event_ == nullptr || event_add(notice_event_.get(), nullptr) != 0) {
      throw std::runtime_error("option --cluster-file: cannot wait for changes: out of memory");
    }
  } else {
    log(LogLevel::Warning, "option --cluster-file: changes are not seen at once, but within " +
                               std::to_string(kLookSeconds) + " seconds: " + std::strerror(errno));
  }
  look_event_ = make_event(base, -1, EV_PERSIST, on_look, this);
  if (look_event_ == nullptr || event_add(look_event_.get(), &kLookInterval) != 0) {
    throw std::runtime_error("option --cluster-file: cannot wait for changes: out of memory");
  }
  watch_folder();
  look();
}

void ClusterFile::on_notice(int, short, void* self) {
  static_cast<ClusterFile*>(self)->take_notices();
}

void ClusterFile::on_look(int, short, void* self) {
  auto& file = *static_cast<ClusterFile*>(self);
  file.watch_folder();
  file.look();
}

// A link may be changed by what has another name (Kubernetes: `..data`), but only by a rename. What
// was written is read even if it looks as before: a file's times are those of the kernel's last
// tick.
void ClusterFile::take_notices() {
  alignas(inotify_event) char buffer[4096];
  bool written = false;
  bool others = false;
  ssize_t got = 0;
  while ((got = ::read(notices_.fd(), buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < got;) {
      inotify_event notice;
      std::memcpy(&notice, buffer + at, sizeof notice);
      written |= notice.len > 0 && name_ == buffer + at + sizeof notice;
      others |= (notice.mask & (IN_MOVED_TO | IN_Q_OVERFLOW)) != 0;
      if ((notice.mask & IN_IGNORED) != 0 && notice.wd == watch_) watch_ = -1;
      at += static_cast<ssize_t>(sizeof notice + notice.len);
    }
  }
  if (written) {
    read();
  } else if (others) {
    look();
  }
}

// The folder may come later, and be replaced.
void ClusterFile::watch_folder() {
  if (!notices_) return;
  struct stat status = {};
  Stamp folder;
  if (stat(folder_.c_str(), &status) == 0) {
    folder.device = status.st_dev;
    folder.inode = status.st_ino;
  }
  if (watch_ >= 0 && folder == watched_) return;
  if (watch_ >= 0) inotify_rm_watch(notices_.fd(), watch_);
  watch_ = inotify_add_watch(notices_.fd(), folder_.c_str(), kNotices | IN_ONLYDIR);
  watched_ = folder;
}

void ClusterFile::look() {
  core::MutexLock lock(mutex_);
  if (!(stamp() == read_)) read_now();
}

ClusterFile::Stamp ClusterFile::stamp_of(const struct stat& status) noexcept {
  return {status.st_dev, status.st_ino, status.st_size, status.st_mtim};
}

ClusterFile::Stamp ClusterFile::stamp() const noexcept {
  struct stat status = {};
  return stat(path_.c_str(), &status) == 0 ? stamp_of(status) : Stamp{};
}

}  // namespace larder::daemon
