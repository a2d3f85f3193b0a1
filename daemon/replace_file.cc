#include "daemon/replace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace larder::daemon {
namespace {

// As std::fopen would create it; the umask takes away what it should not have.
constexpr mode_t kMode = 0666;

bool write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

bool replace_file(const std::string& path, const std::string& draft,
                  std::string_view text) noexcept {
  unlink(draft.c_str());
  const int file = open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode);
  if (file < 0) return false;
  bool done = write_all(file, text);
  int why = errno;
  if (close(file) != 0 && done) {
    done = false;
    why = errno;
  }
  if (done && std::rename(draft.c_str(), path.c_str()) == 0) return true;
  if (done) why = errno;
  unlink(draft.c_str());
  errno = why;
  return false;
}

}  // namespace larder::daemon
