#include "tools/larder/output_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

namespace larder::operate {
namespace {

// Those that end a program and that it can see.
constexpr int kEnding[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
// Names that are tried for the file beside, should others have left some behind.
constexpr int kMostTries = 1000;
// Leaves room in a name of 255 bytes for ".PID.N.part".
constexpr size_t kMostNameBytes = 200;

// The file that a signal removes, or an empty string. Only written while kEnding are blocked on the
// thread that writes; the flag is for handlers on other threads.
char part_path[PATH_MAX];
std::atomic<bool> has_part{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void remove_part_and_end(int signal) {
  if (has_part) unlink(part_path);
  // The handler was reset (SA_RESETHAND), so that this ends the program as it would have.
  raise(signal);
}

// Blocks kEnding while the file that their handler removes changes.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : kEnding) sigaddset(&held, signal);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// Signals that are ignored, as nohup does, stay so.
void remove_part_on_signals() {
  for (const int signal : kEnding) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = remove_part_and_end;
    action.sa_flags = SA_RESETHAND;
    sigaction(signal, &action, nullptr);
  }
}

struct Free {
  void operator()(char* text) const { std::free(text); }
};

// Where links lead; the path itself where there is nothing yet.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, Free> real(realpath(path.c_str(), nullptr));
  return real ? std::string(real.get()) : path;
}

size_t name_start(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? 0 : slash + 1;
}

std::string folder_of(const std::string& path) {
  const size_t start = name_start(path);
  return start == 0 ? "." : path.substr(0, start);
}

bool is_same_file(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

OutputFile::OutputFile(const std::string& path) {
  struct stat there = {};
  const bool exists = path != "-" && stat(path.c_str(), &there) == 0;
  struct stat standard = {};
  standard_ = path == "-" ||
              (exists && fstat(STDOUT_FILENO, &standard) == 0 && is_same_file(there, standard));
  if (standard_) {
    stream_ = stdout;
    return;
  }
  if (exists && !S_ISREG(there.st_mode)) {
    stream_ = std::fopen(path.c_str(), "wbe");
    if (!stream_) fail();
    return;
  }
  target_ = resolved(path);
  if (!open_part()) fail();
}

OutputFile::~OutputFile() {
  close_stream();
  remove_part();
}

bool OutputFile::fail() {
  if (error_.empty()) error_ = std::strerror(errno);
  return false;
}

bool OutputFile::open_part() {
  const std::string name = target_.substr(name_start(target_));
  for (int i = 0; i < kMostTries; ++i) {
    const std::string part = folder_of(target_) + (folder_of(target_) == "." ? "/" : "") +
                             name.substr(0, kMostNameBytes) + "." + std::to_string(getpid()) +
                             (i == 0 ? "" : "." + std::to_string(i)) + ".part";
    if (part.size() >= sizeof(part_path)) {
      errno = ENAMETOOLONG;
      return false;
    }
    const SignalsBlocked blocked;
    const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return false;
    part_ = part;
    std::memcpy(part_path, part.c_str(), part.size() + 1);
    has_part = true;
    remove_part_on_signals();
    stream_ = fdopen(fd, "wb");
    if (stream_) return true;
    close(fd);
    return false;
  }
  return false;
}

bool OutputFile::failed() {
  if (!stream_ || std::ferror(stream_) == 0) return !error_.empty();
  fail();
  return true;
}

bool OutputFile::commit() {
  if (!stream_ || failed()) return false;
  if (std::fflush(stream_) != 0) return fail();
  if (standard_) return true;
  if (!part_.empty() && fsync(fileno(stream_)) != 0) return fail();
  std::FILE* const stream = std::exchange(stream_, nullptr);
  if (std::fclose(stream) != 0) return fail();
  return part_.empty() || rename_part();
}

bool OutputFile::rename_part() {
  {
    const SignalsBlocked blocked;
    if (std::rename(part_.c_str(), target_.c_str()) != 0) return fail();
    has_part = false;
    part_.clear();
  }
  // Without it a crash may bring the old file back, and not a broken one: file systems that cannot
  // sync a folder are left alone.
  const int folder = open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return true;
  const bool synced = fsync(folder) == 0 || errno == EINVAL;
  if (!synced) fail();
  close(folder);
  return synced;
}

void OutputFile::close_stream() {
  if (stream_ && !standard_) std::fclose(stream_);
  stream_ = nullptr;
}

void OutputFile::remove_part() {
  if (part_.empty()) return;
  const SignalsBlocked blocked;
  unlink(part_.c_str());
  has_part = false;
  part_.clear();
}

}  // namespace larder::operate
