// What subcommands print: answers to standard output, what is wrong to standard error, and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tools/client/result.h"

namespace larder::operate {

using Json = nlohmann::ordered_json;

void print(std::string_view text);  // may hold any bytes
void print_json(const Json& json);  // indented; bytes that are no UTF-8 become U+FFFD
// "larder: SENTENCE" and a line end.
void complain(const std::string& sentence);

// {"kind": "unreachable", "text": ...}
Json json_of(const client::Error& error);
// Puts `bytes` at `name` if they are UTF-8, else their base64 at `name`_base64.
void put_bytes(Json& object, const std::string& name, const std::string& bytes);
std::string base64(std::string_view bytes);

}  // namespace larder::operate
