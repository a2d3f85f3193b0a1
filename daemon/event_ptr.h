// EventBasePtr, EventPtr: libevent's handles with an owner.
//
// A base and its events are touched by one thread only, so libevent's own locking stays off.
#pragma once

#include <event2/event.h>

#include <memory>
#include <stdexcept>

#include "daemon/event_memory.h"

namespace larder::daemon {

struct EventBaseDeleter {
  void operator()(event_base* base) const noexcept { event_base_free(base); }
};
struct EventDeleter {
  void operator()(event* e) const noexcept { event_free(e); }  // also removes it from its base
};
struct EventConfigDeleter {
  void operator()(event_config* config) const noexcept { event_config_free(config); }
};

using EventBasePtr = std::unique_ptr<event_base, EventBaseDeleter>;
using EventPtr = std::unique_ptr<event, EventDeleter>;  // must go before its base

inline EventBasePtr make_event_base() {
  reserve_event_memory();
  std::unique_ptr<event_config, EventConfigDeleter> config(event_config_new());
  if (config == nullptr) throw std::bad_alloc();
  event_config_set_flag(config.get(), EVENT_BASE_FLAG_NOLOCK);
  EventBasePtr base(event_base_new_with_config(config.get()));
  if (base == nullptr) {
    throw std::runtime_error("cannot create an event base: out of file descriptors?");
  }
  return base;
}

// `what` as for event_new: EV_READ, EV_WRITE, EV_PERSIST. Null if memory ran out.
inline EventPtr make_event(event_base* base, int fd, short what, event_callback_fn callback,
                           void* argument) {
  return EventPtr(event_new(base, fd, what, callback, argument));
}

}  // namespace larder::daemon
