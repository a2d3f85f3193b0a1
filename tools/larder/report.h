// What subcommands print: answers to standard output, what is wrong to standard error, and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tools/client/result.h"

namespace larder::operate {

using Json = nlohmann::ordered_json;

// Lines of text, as shown_lines() has them: a terminal obeys nothing that is in them.
void print(std::string_view text);
// Any bytes, as they are.
void print_bytes(std::string_view bytes);
void print_json(const Json& json);  // indented; bytes that are no UTF-8 become U+FFFD
// "larder: SENTENCE", as shown() has it, and a line end, to standard error.
void complain(std::string_view sentence);

// False once a byte for standard output was lost: a command that prints much ends then.
bool output_is_whole();
// Writes the buffer of standard output. False where any byte since the start was lost, now or
// earlier, also if only close() tells, as NFS does; errno is of the last failure, if it was now.
bool finish_output();

// JSON as text, without a line end. indent: -1: all in one line. DEL and C1, which JSON leaves as
// they are, become \u codes, and bytes that are no UTF-8 U+FFFD.
std::string json_text(const Json& json, int indent);

// {"kind": "unreachable", "text": ...}
Json json_of(const client::Error& error);
// Puts `bytes` at `name` if they are UTF-8, else their base64 at `name`_base64.
void put_bytes(Json& object, const std::string& name, const std::string& bytes);
std::string base64(std::string_view bytes);

}  // namespace larder::operate
