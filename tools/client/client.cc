#include "tools/client/client.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/client/client_state.h"
#include "tools/client/dispatch.h"
#include "tools/client/name_lookup.h"
#include "tools/client/retry.h"

namespace larder::client {
namespace {

// What contradicts itself, in a sentence; empty if nothing does.
std::string fault_of(const ClientOptions& options) {
  using std::chrono::milliseconds;
  if (options.servers.empty()) return "a client needs at least one server";
  if (options.health.failures_to_eject == 0) return "failures_to_eject must be at least 1";
  constexpr milliseconds kMostTimeout = std::chrono::hours(24);
  const auto is_timeout = [kMostTimeout](milliseconds t) {
    return t > milliseconds(0) && t <= kMostTimeout;
  };
  if (!is_timeout(options.connect_timeout)) {
    return "connect_timeout must be above 0 and at most a day";
  }
  if (!is_timeout(options.request_timeout)) {
    return "request_timeout must be above 0 and at most a day";
  }
  if (options.health.first_ejection <= milliseconds(0) ||
      options.health.longest_ejection < options.health.first_ejection) {
    return "first_ejection must be above 0 and not above longest_ejection";
  }
  if (options.discovery.enabled && options.connection.dialect == Dialect::Binary) {
    return "discovery asks in text: it needs the dialect classic or meta";
  }
  return fault_of_name_servers(options.connection.name_servers);
}

Result<std::optional<Item>> item_of(Answer& answer) {
  if (answer.outcome == Outcome::Failed) return std::move(*answer.error);
  if (answer.outcome != Outcome::Done) return std::optional<Item>{};
  return std::optional<Item>({std::move(answer.value), answer.client_flags, answer.cas});
}

Result<Outcome> outcome_of(Answer answer) {
  if (answer.outcome == Outcome::Failed) return std::move(*answer.error);
  return answer.outcome;
}

Result<std::optional<uint64_t>> number_of(Answer answer) {
  if (answer.outcome == Outcome::Failed) return std::move(*answer.error);
  if (answer.outcome != Outcome::Done) return std::optional<uint64_t>{};
  return std::optional<uint64_t>{answer.number};
}

Operation storing(Verb verb, std::string_view key, std::string_view value,
                  const StoreOptions& options) {
  return {.verb = verb,
          .key = key,
          .value = value,
          .client_flags = options.client_flags,
          .exptime = options.exptime};
}

// Remembers where the written keys were, also where memory runs out behind a write that is done: a
// later list could bring an old value back.
struct Remembering {
  const Fleet& on;
  std::span<const Operation> operations;
  ~Remembering() {
    for (const Operation& operation : operations) {
      if (changes_something(operation)) on.remember_where_it_was(operation.key);
    }
  }
};

bool has_a_key(const Operation& operation) {
  return operation.verb != Verb::Version && operation.verb != Verb::FlushAll &&
         operation.verb != Verb::Noop;
}

// Whether a key or a value of the operations lies in the memory that the answers have for values.
[[maybe_unused]] bool lead_into(std::span<const Operation> operations,
                                std::span<const Answer> answers) {
  const auto begins_before = [](std::string_view a, std::string_view b) {
    return std::less<>()(a.data(), b.data());
  };
  std::vector<std::string_view> values;
  values.reserve(answers.size());
  for (const Answer& answer : answers) {
    values.emplace_back(answer.value.data(), answer.value.capacity());
  }
  std::sort(values.begin(), values.end(), begins_before);
  const auto is_in_one = [&](std::string_view view) {
    if (view.empty()) return false;
    const auto behind = std::upper_bound(values.begin(), values.end(), view, begins_before);
    return behind != values.begin() &&
           std::less<>()(view.data(), behind[-1].data() + behind[-1].size());
  };
  return std::any_of(operations.begin(), operations.end(), [&](const Operation& operation) {
    return is_in_one(operation.key) || is_in_one(operation.value);
  });
}

}  // namespace

ClientOptions ClientState::bounded(ClientOptions options) {
  using std::chrono::milliseconds;
  constexpr milliseconds kCentury = std::chrono::hours(24) * 36'525;  // fits into nanoseconds
  constexpr milliseconds kDay = std::chrono::hours(24);               // no request takes longer
  constexpr size_t kPorts = 65'535;                                   // of one address
  for (milliseconds* time :
       {&options.discovery.interval, &options.idle_timeout, &options.trusted_idle,
        &options.health.first_ejection, &options.health.longest_ejection, &options.lease}) {
    *time = std::clamp(*time, milliseconds(0), kCentury);
  }
  options.retry_pause = std::clamp(options.retry_pause, milliseconds(0), kDay);
  options.idle_connections = std::min(options.idle_connections, kPorts);
  return options;
}

void ClientState::run(std::span<const Operation> operations, std::span<Answer> answers) {
  const Deadline until = deadline();
  const std::shared_ptr<Fleet> on = fleet();
  std::vector<Node*> nodes;
  nodes.reserve(operations.size());
  for (const Operation& operation : operations) nodes.push_back(&on->node_of(operation.key));
  const Remembering remembering{*on, operations};
  dispatch(nodes, operations, answers, options, until);
}

Answer ClientState::run_one(const Operation& operation) {
  Answer answer;
  const std::shared_ptr<Fleet> on = fleet();
  Node* node = &on->node_of(operation.key);
  const Remembering remembering{*on, {&operation, 1}};
  dispatch({&node, 1}, {&operation, 1}, {&answer, 1}, options, deadline());
  return answer;
}

std::vector<Result<Outcome>> ClientState::outcomes_of(std::span<const Operation> operations) {
  std::vector<Answer> answers(operations.size());
  run(operations, answers);
  std::vector<Result<Outcome>> results;
  results.reserve(answers.size());
  for (Answer& answer : answers) results.push_back(outcome_of(std::move(answer)));
  return results;
}

std::vector<Answer> ClientState::run_everywhere(const Fleet& on, const Operation& operation) {
  const Deadline until = deadline();
  std::vector<Node*> nodes;
  for (const std::shared_ptr<Node>& node : on.nodes()) nodes.push_back(node.get());
  const std::vector<Operation> operations(nodes.size(), operation);
  std::vector<Answer> answers(nodes.size());
  dispatch(nodes, operations, answers, options, until);
  return answers;
}

Result<bool> ClientState::refresh(Deadline until, const Cancellation& cancellation) {
  {
    std::unique_lock lock(refresh_mutex);
    if (!refreshed.wait_until(lock, until, [this] { return !refreshing; })) {
      return Error{ErrorKind::Timeout, "another thread is still asking for the list of servers"};
    }
    refreshing = true;
  }
  struct Turn {
    ClientState& state;
    ~Turn() {
      {
        const std::lock_guard lock(state.refresh_mutex);
        state.refreshing = false;
      }
      state.refreshed.notify_one();
    }
  };
  Refreshed done = [&] {
    const Turn turn{*this};
    return ask_and_follow(until, cancellation);
  }();
  // Nobody else looks at nodes that have left the list.
  if (const std::shared_ptr<Fleet> on = fleet()) on->close_ended();
  // After the turn: an observer may call refresh().
  if (!done.followed) {
    // The observer of a client that goes away would only hear of that.
    if (!cancellation.cancelled()) options.observer->list_failed(done.followed.error());
    return std::move(done.followed);
  }
  watch->list_told();
  if (done.warning) watch->lists_are_behind(*done.warning);
  if (*done.followed) options.observer->list_followed(done.version, done.nodes);
  return std::move(done.followed);
}

ClientState::Refreshed ClientState::ask_and_follow(Deadline until,
                                                   const Cancellation& cancellation) {
  std::vector<Endpoint> whom;
  const std::shared_ptr<Fleet> before = fleet();
  if (before) {
    for (const std::shared_ptr<Node>& node : before->nodes()) whom.push_back(node->endpoint());
    const auto first = static_cast<size_t>(any_chance() * static_cast<double>(whom.size()));
    std::rotate(whom.begin(), whom.begin() + static_cast<ptrdiff_t>(first), whom.end());
  }
  for (const Server& server : options.servers) {
    const Endpoint seed = endpoint_of(server);
    const bool is_node = std::any_of(whom.begin(), whom.end(), [&](const Endpoint& asked) {
      return asked.text() == seed.text();
    });
    if (!is_node) whom.push_back(seed);
  }
  if (!before) {
    Result<std::optional<ClusterList>> first = ask_for_list(whom, options, until, cancellation);
    if (!first) return {first.error()};
    return follow(std::move(**first));
  }
  Result<NewerList> told = ask_for_newer_list(whom, list, options, until, cancellation);
  if (!told) return {told.error()};
  if (told->list) return follow(std::move(*told->list));
  return {false, warning_of(*told)};
}

std::optional<Error> ClientState::warning_of(const NewerList& told) {
  if (told.largest_version >= list.version) {
    warned_version.reset();
    return std::nullopt;
  }
  if (warned_version == told.largest_version) return std::nullopt;
  warned_version = told.largest_version;
  return Error{ErrorKind::Refused,
               std::to_string(told.tellers) + " servers told a list, of version " +
                   std::to_string(told.largest_version) + " at most; version " +
                   std::to_string(list.version) + " is followed, and none that is smaller"};
}

ClientState::Refreshed ClientState::follow(ClusterList newer) {
  const std::shared_ptr<Fleet> before = fleet();
  const std::vector<Server> servers = servers_of(newer, options.connection.tls);
  Result<std::shared_ptr<Fleet>> after =
      before ? before->next(servers, options) : Fleet::make(servers, options);
  if (!after) return {after.error()};
  // From here on nothing throws: a list that is remembered as followed is followed.
  if (before) (*after)->supersede(*before);
  list = std::move(newer);
  warned_version.reset();
  {
    const std::lock_guard publish(mutex);
    current = std::move(*after);
  }
  return {true, std::nullopt, list.version, list.nodes.size()};
}

Result<std::unique_ptr<Client>> Client::make(ClientOptions options) {
  std::string fault = fault_of(options);
  if (!fault.empty()) return Error{ErrorKind::BadRequest, std::move(fault)};
  auto state = std::make_unique<ClientState>(std::move(options));
  ClientState& made = *state;
  if (!made.options.discovery.enabled) {
    Result<std::shared_ptr<Fleet>> fleet = Fleet::make(made.options.servers, made.options);
    if (!fleet) return fleet.error();
    made.current = std::move(*fleet);
  } else {
    made.going_away.emplace();
    const Result<bool> followed = made.refresh(made.deadline(), *made.going_away);
    if (!followed) return followed.error();
    if (made.options.discovery.interval > std::chrono::milliseconds(0)) {
      // What went wrong is tried again the next time; until then the list from before is good.
      // Nobody waits for this thread: each server has its own time, however many there are.
      const auto tick = [&made](const Cancellation& cancellation) {
        const Result<bool> ignored = made.refresh(Deadline::max(), cancellation);
        static_cast<void>(ignored);
      };
      try {
        made.poller.emplace(made.options.discovery.interval, tick, *made.going_away);
      } catch (const std::system_error& error) {
        return Error{
            ErrorKind::Unreachable,
            std::string("no thread can be had that follows the list of servers: ") + error.what(),
            true};
      }
      made.watch->set_poller(&*made.poller);
    }
  }
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Client::Client(std::unique_ptr<ClientState> state) : state_(std::move(state)) {}
Client::~Client() = default;

Result<std::optional<Item>> Client::get(std::string_view key) {
  Answer answer = state_->run_one({.verb = Verb::Get, .key = key});
  return item_of(answer);
}

Result<std::optional<Item>> Client::get_and_touch(std::string_view key, int32_t exptime) {
  Answer answer =
      state_->run_one({.verb = Verb::Get, .key = key, .exptime = exptime, .touch = true});
  return item_of(answer);
}

Result<Outcome> Client::set(std::string_view key, std::string_view value, StoreOptions options) {
  return outcome_of(state_->run_one(storing(Verb::Set, key, value, options)));
}

Result<Outcome> Client::add(std::string_view key, std::string_view value, StoreOptions options) {
  return outcome_of(state_->run_one(storing(Verb::Add, key, value, options)));
}

Result<Outcome> Client::replace(std::string_view key, std::string_view value,
                                StoreOptions options) {
  return outcome_of(state_->run_one(storing(Verb::Replace, key, value, options)));
}

Result<Outcome> Client::append(std::string_view key, std::string_view value) {
  return outcome_of(state_->run_one(storing(Verb::Append, key, value, {})));
}

Result<Outcome> Client::prepend(std::string_view key, std::string_view value) {
  return outcome_of(state_->run_one(storing(Verb::Prepend, key, value, {})));
}

Result<Outcome> Client::cas(std::string_view key, std::string_view value, uint64_t version,
                            StoreOptions options) {
  // In an Operation 0 stands for any version.
  if (version == 0) return Error{ErrorKind::BadRequest, "0 is the version of no item"};
  Operation operation = storing(Verb::Set, key, value, options);
  operation.cas = version;
  return outcome_of(state_->run_one(operation));
}

Result<Outcome> Client::remove(std::string_view key) {
  return outcome_of(state_->run_one({.verb = Verb::Delete, .key = key}));
}

Result<Outcome> Client::touch(std::string_view key, int32_t exptime) {
  return outcome_of(state_->run_one({.verb = Verb::Touch, .key = key, .exptime = exptime}));
}

Result<std::optional<uint64_t>> Client::increment(std::string_view key, uint64_t delta) {
  return number_of(state_->run_one({.verb = Verb::Increment, .key = key, .delta = delta}));
}

Result<std::optional<uint64_t>> Client::decrement(std::string_view key, uint64_t delta) {
  return number_of(state_->run_one({.verb = Verb::Decrement, .key = key, .delta = delta}));
}

std::vector<Result<std::optional<Item>>> Client::get_many(std::span<const std::string_view> keys) {
  std::vector<Operation> operations(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) operations[i].key = keys[i];
  std::vector<Answer> answers(keys.size());
  state_->run(operations, answers);
  std::vector<Result<std::optional<Item>>> results;
  results.reserve(keys.size());
  for (Answer& answer : answers) results.push_back(item_of(answer));
  return results;
}

std::vector<Result<Outcome>> Client::set_many(std::span<const Entry> entries) {
  std::vector<Operation> operations;
  operations.reserve(entries.size());
  for (const Entry& entry : entries) {
    operations.push_back(storing(Verb::Set, entry.key, entry.value, entry.options));
  }
  return state_->outcomes_of(operations);
}

std::vector<Result<Outcome>> Client::remove_many(std::span<const std::string_view> keys) {
  std::vector<Operation> operations(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    operations[i].verb = Verb::Delete;
    operations[i].key = keys[i];
  }
  return state_->outcomes_of(operations);
}

std::vector<OfNode<void>> Client::flush_all(int32_t delay_seconds) {
  const std::shared_ptr<Fleet> on = state_->fleet();
  const std::vector<Answer> answers =
      state_->run_everywhere(*on, {.verb = Verb::FlushAll, .exptime = delay_seconds});
  std::vector<OfNode<void>> results;
  for (size_t i = 0; i < answers.size(); ++i) {
    Result<void> result;
    if (answers[i].error) result = *answers[i].error;
    results.push_back({on->nodes()[i]->name(), std::move(result)});
  }
  return results;
}

std::vector<OfNode<std::string>> Client::version() {
  const std::shared_ptr<Fleet> on = state_->fleet();
  const std::vector<Answer> answers = state_->run_everywhere(*on, {.verb = Verb::Version});
  std::vector<OfNode<std::string>> results;
  for (size_t i = 0; i < answers.size(); ++i) {
    Result<std::string> result = answers[i].value;
    if (answers[i].error) result = *answers[i].error;
    results.push_back({on->nodes()[i]->name(), std::move(result)});
  }
  return results;
}

void Client::run(std::span<const Operation> operations, std::span<Answer> answers) {
  answers = answers.first(std::min(answers.size(), operations.size()));
  for (Answer& answer : answers) answer.make_blank();  // before anything allocates
  Error error{ErrorKind::BadRequest, "version, flush_all and noop belong to no key's node"};
  if (answers.size() < operations.size()) {
    error.text = "there are fewer answers than operations";
  } else if (std::all_of(operations.begin(), operations.end(), has_a_key)) {
    assert(!lead_into(operations, answers));
    return state_->run(operations, answers);
  }
  for (Answer& answer : answers) answer.error = error;
}

std::vector<std::string> Client::nodes() const {
  const std::shared_ptr<Fleet> on = state_->fleet();  // not in the loop: it ends before that begins
  std::vector<std::string> names;
  for (const std::shared_ptr<Node>& node : on->nodes()) names.push_back(node->name());
  return names;
}

std::string Client::node_of(std::string_view key) const {
  return state_->fleet()->node_of(key).name();
}

ClientCounters Client::counters() const { return state_->watch->counters(); }

Result<bool> Client::refresh() {
  if (!state_->options.discovery.enabled) {
    return Error{ErrorKind::BadRequest, "this client has a fixed list of servers"};
  }
  const bool is_inherited = state_->made_in != process_generation();
  if (is_inherited) return state_->refresh(state_->deadline(), Cancellation());
  return state_->refresh(state_->deadline(), *state_->going_away);
}

}  // namespace larder::client
