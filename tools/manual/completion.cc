#include "tools/manual/completion.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace larder::manual {
namespace {

// The name of a shell function.
std::string function_name(std::string program) {
  std::replace(program.begin(), program.end(), '-', '_');
  return "_" + program;
}

enum class Value { None, File, User, Other };

Value value_of(const Entry& entry) {
  if (entry.argument.empty()) return Value::None;
  if (entry.argument == "file" || entry.argument == "FILE" || entry.argument == "PATH") {
    return Value::File;
  }
  return entry.argument == "user" ? Value::User : Value::Other;
}

template <class Use>
void for_each_entry(const Command& command, Use use) {
  for (const Section& section : command.sections) {
    for (const Entry& entry : section.entries) use(entry);
  }
}

void add(std::string& list, char between, const std::string& word) {
  if (!list.empty()) list += between;
  list += word;
}

std::string subcommands(const Manual& manual, char between) {
  std::string list;
  for (const Command& command : manual.commands) {
    if (!command.name.empty()) add(list, between, command.name);
  }
  return list;
}

// "idle_timeout=" where a value follows.
std::string list_words(const Manual& manual) {
  std::string list;
  for (const Entry& entry : manual.list.entries) {
    add(list, ' ', entry.names.front() + (entry.argument.empty() ? "" : "="));
  }
  return list;
}

std::string joined(const std::vector<std::string>& words, char between) {
  std::string list;
  for (const std::string& word : words) add(list, between, word);
  return list;
}

// The branches of a case over the option before the word that is completed.
std::string bash_values(const Manual& manual, const Command& command) {
  std::string files;
  std::string users;
  std::string others;
  for_each_entry(command, [&](const Entry& entry) {
    if (entry.names == manual.list_option) return;
    const Value value = value_of(entry);
    const std::string names = joined(entry.names, '|');
    if (value == Value::File) add(files, '|', names);
    if (value == Value::User) add(users, '|', names);
    if (value == Value::Other) add(others, '|', names);
  });
  std::string out;
  const auto branch = [&](const std::string& names, const std::string& what) {
    if (!names.empty()) out += "        " + names + ") " + what + " ;;\n";
  };
  branch(files, "values=file");
  branch(users, "values=user");
  branch(joined(manual.list_option, '|'), "values=list");
  branch(others, "return");
  return out;
}

// In single quotes.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out;
}

// Of _arguments and _values: brackets end the help, colons what stands before a value.
std::string zsh_help(std::string_view text) {
  std::string out;
  for (const char c : quoted(text)) {
    if (c == '[' || c == ']' || c == ':') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_arguments(const Manual& manual, const Command& command) {
  std::string out = "      _arguments -s";
  for_each_entry(command, [&](const Entry& entry) {
    for (const std::string& name : entry.names) {
      out += " \\\n        '*" + name;
      if (!entry.argument.empty()) out += name.starts_with("--") ? "=" : "+";
      out += "[" + zsh_help(entry.help) + "]";
      if (entry.argument.empty()) {
        out += "'";
        continue;
      }
      out += ":" + zsh_help(entry.argument) + ":";
      const Value value = value_of(entry);
      if (value == Value::File) out += "_files";
      if (value == Value::User) out += "_users";
      if (entry.names == manual.list_option) out += "->list";
      out += "'";
    }
  });
  const std::string others = subcommands(manual, ' ');
  if (!others.empty()) out += " \\\n        '1:command:(" + others + ")'";
  return out + "\n";
}

}  // namespace

std::string bash_completion(const Manual& manual) {
  const std::string function = function_name(manual.program);
  const std::string others = subcommands(manual, '|');
  std::string out = "# bash completion for " + manual.program + ", made from its options.\n";
  out += function + "() {\n";
  out +=
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  local command= word values= options=\n"
      "  # bash takes --name=value apart.\n"
      "  if [[ $current == '=' ]]; then\n"
      "    current=\n"
      "  elif [[ $previous == '=' ]]; then\n"
      "    previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
      "  fi\n"
      "  COMPREPLY=()\n";
  if (!others.empty()) {
    out += "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n    case $word in\n      " +
           others + ") command=$word && break ;;\n    esac\n  done\n";
  }
  out += "  case $command in\n";
  for (const Command& command : manual.commands) {
    std::string names;
    for_each_entry(command, [&](const Entry& entry) { add(names, ' ', joined(entry.names, ' ')); });
    if (command.name.empty() && !others.empty()) add(names, ' ', subcommands(manual, ' '));
    out += "    '" + command.name + "')\n      options='" + names + "'\n      case $previous in\n" +
           bash_values(manual, command) + "      esac\n      ;;\n";
  }
  out +=
      "  esac\n"
      "  case $values in\n"
      "    file)\n"
      "      mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
      "      compopt -o filenames 2>/dev/null\n"
      "      ;;\n"
      "    user) mapfile -t COMPREPLY < <(compgen -u -- \"$current\") ;;\n";
  if (!manual.list.entries.empty()) {
    out +=
        "    list)\n"
        "      local before=\n"
        "      [[ $current != *,* ]] || before=${current%,*},\n"
        "      mapfile -t COMPREPLY < <(compgen -P \"$before\" -W \\\n"
        "        '" +
        list_words(manual) +
        "' \\\n"
        "        -- \"${current##*,}\")\n"
        "      compopt -o nospace 2>/dev/null\n"
        "      ;;\n";
  }
  out +=
      "    *) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\") ;;\n"
      "  esac\n"
      "}\n"
      "complete -F " +
      function + " " + manual.program + "\n";
  return out;
}

std::string zsh_completion(const Manual& manual) {
  const std::string function = function_name(manual.program);
  const std::string others = subcommands(manual, '|');
  std::string out = "#compdef " + manual.program + "\n# Made from its options.\n" + function +
                    "() {\n  local context state state_descr line command=\n"
                    "  typeset -A opt_args\n";
  if (!others.empty()) out += "  command=${words[(r)(" + others + ")]}\n";
  out += "  case $command in\n";
  for (const Command& command : manual.commands) {
    out += "    " + (command.name.empty() ? "''" : command.name) + ")\n" +
           zsh_arguments(manual, command) + "      ;;\n";
  }
  out += "  esac\n";
  if (!manual.list.entries.empty()) {
    out += "  [[ $state != list ]] || _values -s , option";
    for (const Entry& entry : manual.list.entries) {
      out += " \\\n    '" + entry.names.front() + "[" + zsh_help(entry.help) + "]";
      out += entry.argument.empty() ? "'" : ":value: '";
    }
    out += "\n";
  }
  return out + "}\n" + function + " \"$@\"\n";
}

}  // namespace larder::manual
