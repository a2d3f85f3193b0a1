#include "daemon/config_commands.h"

#include <memory>
#include <utility>

#include "daemon/cluster_list.h"
#include "daemon/discovery.h"
#include "daemon/log.h"
#include "daemon/server_control.h"

namespace larder::daemon {
namespace {

using proto::Command;
using proto::ErrorId;
using proto::Op;
using proto::Reply;
using proto::Status;

constexpr std::string_view kCluster = "cluster";

LogSite change_site;

void fail(Reply& reply, ErrorId error) {
  reply.status = Status::Error;
  reply.error = error;
}

void get(const Command& command, const Discovery& discovery, std::string& scratch, Reply& reply) {
  const auto published = command.key == kCluster ? discovery.published() : nullptr;
  if (published == nullptr) {
    reply.status = Status::Miss;
    return;
  }
  scratch = published->text;  // it may be replaced before the reply is written
  reply.status = Status::Hit;
  reply.key = command.key;
  reply.client_flags = published->client_flags;
  reply.value = scratch;
  reply.value_bytes = static_cast<uint32_t>(scratch.size());
}

void set(const Command& command, Discovery& discovery, std::string& scratch, Reply& reply) {
  if (command.key != kCluster) return fail(reply, ErrorId::ConfigUnknownName);
  ParsedClusterList parsed = parse_cluster_list(command.args);
  const uint64_t version = parsed.list.version;
  if (parsed.error.empty() && version == 0) parsed.error = "there is no version before the nodes";
  if (parsed.error.empty() && !discovery.set(parsed.list, command.client_flags)) {
    parsed.error = "version " + std::to_string(version) + " is not larger than the latest, " +
                   std::to_string(parsed.list.version);
  }
  if (parsed.error.empty()) {
    log(LogLevel::Info, change_site, "config set: version " + std::to_string(version));
    return;
  }
  scratch = std::move(parsed.error);
  reply.text = scratch;
  fail(reply, ErrorId::ConfigBadBlock);
}

}  // namespace

void run_config(const Command& command, ServerControl& control, std::string& scratch,
                Reply& reply) {
  Discovery* const discovery = control.discovery();
  if (discovery == nullptr) return fail(reply, ErrorId::UnknownCommand);
  if (command.op == Op::ConfigGet) return get(command, *discovery, scratch, reply);
  if (!control.settings().allow_cluster_set) return fail(reply, ErrorId::ConfigNotAllowed);
  if (command.op == Op::ConfigSet) return set(command, *discovery, scratch, reply);
  if (command.key != kCluster || !discovery->remove()) {
    reply.status = Status::Miss;
    return;
  }
  log(LogLevel::Info, change_site, "config delete: there is no list of nodes any more");
}

}  // namespace larder::daemon
