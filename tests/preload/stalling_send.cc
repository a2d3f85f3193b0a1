// Preloaded into a server: a thread that sends bytes with the word kMark among them stays in that
// call for as long as the file that LARDER_STALL_FILE names exists, as a thread does that the
// system does not run. Everything else is sent as usual. The stall has begun when there is a second
// file, with
// `.held` behind its name, and ends when the first is removed: a test needs no clock.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr char kMark[] = "larder-stall";
constexpr useconds_t kLookEveryMicroseconds = 1000;

bool is_marked(const iovec* pieces, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (memmem(pieces[i].iov_base, pieces[i].iov_len, kMark, sizeof kMark - 1) != nullptr) {
      return true;
    }
  }
  return false;
}

void stall_if_marked(const iovec* pieces, size_t count) {
  static const char* const file = std::getenv("LARDER_STALL_FILE");
  if (file == nullptr || !is_marked(pieces, count) || access(file, F_OK) != 0) return;
  close(open((std::string(file) + ".held").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  while (access(file, F_OK) == 0) usleep(kLookEveryMicroseconds);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" ssize_t send(int fd, const void* bytes, size_t count, int flags) {
  static const auto original = next<ssize_t (*)(int, const void*, size_t, int)>("send");
  const iovec whole = {const_cast<void*>(bytes), count};
  stall_if_marked(&whole, 1);
  return original(fd, bytes, count, flags);
}

extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto original = next<ssize_t (*)(int, const msghdr*, int)>("sendmsg");
  stall_if_marked(message->msg_iov, message->msg_iovlen);
  return original(fd, message, flags);
}
