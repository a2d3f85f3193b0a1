// What stands behind `config get`, `config set` and `config delete`: ElastiCache's auto discovery,
// in both protocols.
//
// There is one configuration, "cluster". Where discovery is off (ServerControl::discovery) the
// commands are unknown, as they are to memcached.
#pragma once

#include <string>

#include "proto/command.h"
#include "proto/reply.h"

namespace larder::daemon {

class ServerControl;

// `command`: ConfigGet, ConfigSet or ConfigDelete. The reply is reset and says Ok already; its
// views point into `scratch`. Any worker thread.
void run_config(const proto::Command& command, ServerControl& control, std::string& scratch,
                proto::Reply& reply);

}  // namespace larder::daemon
