#include "tools/larder/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <string_view>

namespace larder::operate {
namespace {

constexpr char kInterrupt = 3;  // ^C
constexpr char kSuspend = 26;   // ^Z

// xterm's control sequences, which every terminal of today has.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // the other screen, no cursor
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

constexpr int kEnding[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr int kOthers[] = {SIGTSTP, SIGWINCH};

// What came; written by the handler, on the one thread that lets signals in, so that nothing has to
// be ordered.
std::atomic<int> seen_ending{0};
std::atomic<bool> seen_stop{false};
std::atomic<bool> seen_size{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void note(int signal) {
  if (signal == SIGTSTP) {
    seen_stop = true;
  } else if (signal == SIGWINCH) {
    seen_size = true;
  } else {
    seen_ending = signal;
  }
}

void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(STDOUT_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // it is gone, which wait() sees
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

template <typename Visit>
void for_each_signal(const Visit& visit) {
  for (const int signal : kEnding) visit(signal);
  for (const int signal : kOthers) visit(signal);
}

}  // namespace

bool Terminal::is_there() { return isatty(STDOUT_FILENO) == 1; }

Terminal::Terminal() {
  has_keys_ = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0;
  seen_ending = 0;
  seen_stop = seen_size = false;
  sigset_t held;
  sigemptyset(&held);
  struct sigaction action = {};
  action.sa_handler = note;
  for_each_signal([&](int signal) {
    sigaddset(&held, signal);
    sigaction(signal, &action, nullptr);
  });
  pthread_sigmask(SIG_BLOCK, &held, &mask_before_);
  enter();
}

Terminal::~Terminal() {
  leave();
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for_each_signal([&](int signal) { sigaction(signal, &action, nullptr); });
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

void Terminal::enter() {
  if (has_keys_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  put(kEnter);
}

void Terminal::leave() {
  put(kLeave);
  if (has_keys_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
}

void Terminal::stop() {
  leave();
  kill(getpid(), SIGSTOP);
  enter();
}

FrameSize Terminal::size() const {
  winsize window = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return {};
  return {window.ws_col, window.ws_row};
}

void Terminal::draw(const std::vector<std::string>& lines) {
  std::string all(kHome);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) all += "\r\n";
    all += lines[i];
    all += kClearLine;
  }
  put(all + std::string(kClearBelow));
}

Terminal::Event Terminal::wait(std::chrono::steady_clock::time_point until, int ready_fd) {
  using std::chrono::nanoseconds;
  for (;;) {
    if (seen_ending != 0) {
      ending_signal_ = seen_ending;
      return Event::Signal;
    }
    if (seen_stop.exchange(false)) {
      stop();
      return Event::Redraw;
    }
    if (seen_size.exchange(false)) return Event::Redraw;
    const auto left = std::max(until - std::chrono::steady_clock::now(), nanoseconds(0));
    timespec time = {};
    time.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    time.tv_nsec = (nanoseconds(left) % std::chrono::seconds(1)).count();
    // poll() passes over negative numbers.
    pollfd waits[] = {{has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}, {ready_fd, POLLIN, 0}};
    const int ready = ppoll(waits, std::size(waits), &time, &mask_before_);
    if (ready == 0) return Event::Time;
    if (ready < 0) continue;  // a signal
    if (waits[0].revents == 0) return Event::Ready;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) != 1) return Event::Quit;
    if (key == 'q' || key == 'Q' || key == kInterrupt) return Event::Quit;
    if (key == kSuspend) {
      stop();
      return Event::Redraw;
    }
  }
}

}  // namespace larder::operate
