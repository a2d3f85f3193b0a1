// A library for LD_PRELOAD that makes one call of a running program fail, from outside: the k-th
// send, or the n-th allocation and some behind it; or that holds up the thread of the n-th system
// call on a socket or an event loop, as a hypervisor does. What is to happen stands in a file that
// the program maps shared and a test writes; the environment variable LARDER_FAULTS names it.
// Without it nothing fails.
//
// For programs that use glibc's allocator. Any thread.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace {

// The file: int32 each, little endian, in this order. tests/wire/faults.py writes it.
struct Control {
  enum Mode : int32_t {
    kNothing = 0,
    kBrokenPipe = 1,  // the call fails with EPIPE, and so do all later ones of that socket
    kReset = 2,       // likewise with ECONNRESET
    kHalf = 3,        // it takes half of the bytes, and later ones fail with EPIPE
  };
  std::atomic<int32_t> send_mode;
  std::atomic<int32_t> sends_left;        // the call that finds 1 here fails
  std::atomic<int32_t> sends_failed;      // how many calls have failed
  std::atomic<int32_t> allocations_left;  // likewise; 0: none fails
  std::atomic<int32_t> allocations_failed;
  std::atomic<int32_t> calls_left;  // the call that finds 1 here is held up
  std::atomic<int32_t> stall_us;    // for so long
  std::atomic<int32_t> stalls_ended;
  std::atomic<int32_t> more_allocations;  // that fail behind that one
};

Control* control() {
  static Control* const mapped = [] {
    const char* const path = getenv("LARDER_FAULTS");
    const int fd = path == nullptr ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return static_cast<Control*>(nullptr);
    void* const at = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<Control*>(at);
  }();
  return mapped;
}

std::atomic<int> gone_fd{-1};  // the socket whose calls fail from now on

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// What a call of a send is to do: go on, fail with an errno, or send no more than half.
struct Verdict {
  int error = 0;
  bool half = false;
};

Verdict judge_send(int fd) {
  Control* const c = control();
  if (c == nullptr) return {};
  const int32_t mode = c->send_mode.load();
  if (mode == Control::kNothing) return {};
  if (fd == gone_fd.load()) {
    c->sends_failed.fetch_add(1);
    return {mode == Control::kReset ? ECONNRESET : EPIPE, false};
  }
  if (c->sends_left.load() <= 0 || c->sends_left.fetch_sub(1) != 1) return {};
  c->sends_failed.fetch_add(1);
  gone_fd.store(fd);
  if (mode == Control::kHalf) return {0, true};
  return {mode == Control::kReset ? ECONNRESET : EPIPE, false};
}

ssize_t fail(int error) {
  errno = error;
  return -1;
}

// True if this allocation is to fail.
bool allocation_fails() {
  Control* const c = control();
  if (c == nullptr || c->allocations_left.load(std::memory_order_relaxed) <= 0) return false;
  if (c->allocations_left.fetch_sub(1) != 1) return false;
  if (c->more_allocations.load() > 0) {
    c->more_allocations.fetch_sub(1);
    c->allocations_left.store(1);
  }
  c->allocations_failed.fetch_add(1);
  errno = ENOMEM;
  return true;
}

// Holds up the thread if its call is the one.
void maybe_stall() {
  Control* const c = control();
  if (c == nullptr || c->calls_left.load(std::memory_order_relaxed) <= 0) return;
  if (c->calls_left.fetch_sub(1) != 1) return;
  usleep(static_cast<useconds_t>(c->stall_us.load()));
  c->stalls_ended.fetch_add(1);
}

}  // namespace

extern "C" {

ssize_t recv(int fd, void* into, size_t size, int flags) {
  static const auto real = next<ssize_t (*)(int, void*, size_t, int)>("recv");
  maybe_stall();
  const ssize_t n = real(fd, into, size, flags);
  const int error = errno;
  maybe_stall();  // with what has been read in hand
  errno = error;
  return n;
}

ssize_t readv(int fd, const iovec* into, int count) {
  static const auto real = next<ssize_t (*)(int, const iovec*, int)>("readv");
  maybe_stall();
  return real(fd, into, count);
}

int epoll_wait(int fd, epoll_event* events, int most, int timeout) {
  static const auto real = next<int (*)(int, epoll_event*, int, int)>("epoll_wait");
  const int n = real(fd, events, most, timeout);
  const int error = errno;
  maybe_stall();
  errno = error;
  return n;
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, int)>("send");
  maybe_stall();
  const Verdict verdict = judge_send(fd);
  if (verdict.error != 0) return fail(verdict.error);
  return real(fd, bytes, verdict.half ? (size + 1) / 2 : size, flags);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto real = next<ssize_t (*)(int, const msghdr*, int)>("sendmsg");
  static const auto real_send = next<ssize_t (*)(int, const void*, size_t, int)>("send");
  maybe_stall();
  const Verdict verdict = judge_send(fd);
  if (verdict.error != 0) return fail(verdict.error);
  if (!verdict.half) return real(fd, message, flags);
  // Whole pieces up to half of all bytes, or half of the first.
  size_t all = 0;
  for (size_t i = 0; i < message->msg_iovlen; ++i) all += message->msg_iov[i].iov_len;
  size_t pieces = 0;
  for (size_t bytes = 0; pieces < message->msg_iovlen; ++pieces) {
    bytes += message->msg_iov[pieces].iov_len;
    if (bytes > all / 2) break;
  }
  if (pieces == 0) {
    return real_send(fd, message->msg_iov[0].iov_base, (message->msg_iov[0].iov_len + 1) / 2,
                     flags);
  }
  msghdr half = *message;
  half.msg_iovlen = pieces;
  return real(fd, &half, flags);
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  static const auto real = next<int (*)(int, mmsghdr*, unsigned, int)>("sendmmsg");
  const Verdict verdict = judge_send(fd);
  if (verdict.error != 0) return static_cast<int>(fail(verdict.error));
  return real(fd, messages, verdict.half ? std::max(count / 2, 1u) : count, flags);
}

int close(int fd) {
  static const auto real = next<int (*)(int)>("close");
  int gone = fd;
  gone_fd.compare_exchange_strong(gone, -1);  // the number may be another's next
  return real(fd);
}

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) { return allocation_fails() ? nullptr : __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) {
  return allocation_fails() ? nullptr : __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  return allocation_fails() ? nullptr : __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, bytes);
}
int posix_memalign(void** to, size_t alignment, size_t bytes) {
  if (allocation_fails()) return ENOMEM;
  void* const at = __libc_memalign(alignment, bytes);
  if (at == nullptr) return ENOMEM;
  *to = at;
  return 0;
}

}  // extern "C"
