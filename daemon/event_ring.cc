#include "daemon/event_ring.h"

#include <cassert>
#include <cstring>

namespace larder::daemon {
namespace {

constexpr size_t kAlign = 8;
static_assert(sizeof(Event) % kAlign == 0 && alignof(Event) <= kAlign);

constexpr size_t round_up(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Where a record's length would stand: go on at the beginning.
constexpr uint32_t kWrap = 0;

}  // namespace

EventRing::EventRing(size_t bytes)
    : capacity_(bytes / kAlign * kAlign),
      memory_(std::make_unique_for_overwrite<char[]>(capacity_)) {}

bool EventRing::write(const Event& event, std::string_view text) noexcept {
  assert(text.size() <= Event::kMaxTextBytes);
  const size_t bytes = sizeof(Event) + round_up(text.size());
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  const uint64_t room = capacity_ - (tail - head_.load(std::memory_order_acquire));
  const uint64_t skipped =
      capacity_ > 0 && left_before_end(tail) < bytes ? left_before_end(tail) : 0;
  if (room < skipped + bytes) {
    dropped_.add();
    if ((streams_of(event) & Streams::kChanges) != 0) lost_changes_.add();
    return false;
  }
  if (skipped > 0) std::memcpy(at(tail), &kWrap, sizeof kWrap);

  char* const to = at(tail + skipped);
  Event whole = event;
  whole.record_bytes = static_cast<uint32_t>(bytes);
  whole.text_bytes = static_cast<uint8_t>(text.size());
  std::memcpy(to, &whole, sizeof whole);
  if (!text.empty()) std::memcpy(to + sizeof whole, text.data(), text.size());
  written_.add();
  tail_.store(tail + skipped + bytes, std::memory_order_release);
  return true;
}

EventRing::Record EventRing::front() noexcept {
  uint64_t head = head_.load(std::memory_order_relaxed);
  if (head == tail_.load(std::memory_order_acquire)) return {};
  uint32_t bytes;
  std::memcpy(&bytes, at(head), sizeof bytes);
  if (bytes == kWrap) {
    head += left_before_end(head);  // a record follows: the mark is written together with it
    head_.store(head, std::memory_order_release);
  }
  const auto* const event = reinterpret_cast<const Event*>(at(head));
  return {event, {at(head) + sizeof(Event), event->text_bytes}};
}

void EventRing::pop() noexcept {
  const Record record = front();
  assert(record.event != nullptr);
  head_.store(head_.load(std::memory_order_relaxed) + record.event->record_bytes,
              std::memory_order_release);
}

}  // namespace larder::daemon
