//! Which agent CLI a process runs, told by its name and its command line alone. It looks at nothing, and compares whole names: an editor
//! with `claude-notes.txt` open is none.
//!
//! What starts others (`npx`, `uvx`, `sudo`, a shell with `-c`) is none either. The program it starts is a process of its own, and until
//! that is there one could only type into the starter's questions.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The longest name that the kernel keeps of a process (`TASK_COMM_LEN`): a longer one is cut off, so it may be another's.
const NAME_BYTES_MAX: usize = 15;

/// What packages call their script where that says nothing (`cli.js`), and what is called so then.
const SCRIPTS: [&str; 5] = ["cli", "index", "main", "start", "__main__"];

/// npm packages that are not named as their program is.
const PACKAGES: [(&str, &str); 4] =
    [("@anthropic-ai/claude-code", "claude"), ("@google/gemini-cli", "gemini"), ("opencode-ai", "opencode"), ("aider-chat", "aider")];

/// The name among `names` that this process goes by; `None` when it is no agent CLI. `name` is what the system calls it (which a program
/// may set), `arguments` its command line.
pub fn kind<'n>(name: &OsStr, arguments: &[OsString], names: &'n [String]) -> Option<&'n str> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let among = |asked: &[u8]| names.iter().find(|name| name.as_bytes() == asked).map(String::as_str);
    let called = among(name.as_bytes()).filter(|name| name.len() < NAME_BYTES_MAX);
    called.or_else(|| of_words(&words, &among)).or_else(|| match words[..] {
        // A title that a program gave itself is one word with spaces in it.
        [title] if title.contains(&b' ') => {
            of_words(&title.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(), &among)
        }
        _ => None,
    })
}

fn of_words<'n>(words: &[&[u8]], among: &dyn Fn(&[u8]) -> Option<&'n str>) -> Option<&'n str> {
    let (program, arguments) = words.split_first()?;
    // A login shell's, and so a program's that takes its place, begins with a dash.
    let program = base(program.strip_prefix(b"-").unwrap_or(program));
    among(program).or_else(|| match script(program, arguments)? {
        Script::Module(module) => among(module.strip_suffix(b".__main__").unwrap_or(module)),
        Script::File(path) => among(stem(base(path))).or_else(|| among(package(path)?)),
    })
}

/// What an interpreter runs.
enum Script<'a> {
    File(&'a [u8]),
    Module(&'a [u8]),
}

/// How an interpreter reads its command line.
struct Grammar {
    /// Options whose value is the next word.
    valued: &'static [&'static str],
    /// Options that bring the program themselves, or on standard input.
    inline: &'static [&'static str],
    /// The same among letters that may stand together behind one dash.
    letters: &'static [u8],
    /// Commands that go before a script.
    commands: &'static [&'static str],
}

const NODE: Grammar = Grammar {
    valued: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--title",
        "--inspect-port",
        "--env-file",
        "--env-file-if-exists",
        "--icu-data-dir",
        "--openssl-config",
        "--redirect-warnings",
        "--disable-warning",
    ],
    inline: &["-e", "--eval", "-p", "--print", "-pe", "-i", "--interactive", "-c", "--check", "--test", "--run", "-"],
    letters: b"",
    commands: &[],
};

const BUN: Grammar = Grammar {
    valued: &["-r", "--preload", "--require", "--import", "--cwd", "-c", "--config", "--env-file", "--define", "-d", "--filter"],
    inline: &["-e", "--eval", "-p", "--print", "-"],
    letters: b"",
    commands: &["run"],
};

const DENO: Grammar = Grammar {
    valued: &["-c", "--config", "--import-map", "--lock", "--preload", "--cert", "--location", "--seed", "-L", "--log-level"],
    inline: &["-"],
    letters: b"",
    commands: &["run"],
};

const PYTHON: Grammar = Grammar { valued: &["-W", "-X", "--check-hash-based-pycs"], inline: &["-"], letters: b"c", commands: &[] };

const RUBY: Grammar = Grammar { valued: &["-C", "-E", "-I", "-r"], inline: &["-"], letters: b"e", commands: &[] };

const PERL: Grammar = Grammar { valued: &["-I"], inline: &["-"], letters: b"eE", commands: &[] };

const SHELL: Grammar =
    Grammar { valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"], inline: &["-"], letters: b"cs", commands: &[] };

/// `None` for what is no interpreter.
fn grammar(program: &[u8]) -> Option<&'static Grammar> {
    // python3.12, ruby3.1, perl5.36.0
    let end = program.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.').map_or(0, |at| at + 1);
    Some(match &program[..end] {
        b"node" | b"nodejs" => &NODE,
        b"bun" => &BUN,
        b"deno" => &DENO,
        b"python" | b"pypy" | b"Python" => &PYTHON,
        b"ruby" => &RUBY,
        b"perl" => &PERL,
        b"sh" | b"bash" | b"dash" | b"ash" | b"ksh" | b"mksh" | b"zsh" => &SHELL,
        _ => return None,
    })
}

/// What the interpreter `program` runs; `None` when that is no file and no module, or it is no interpreter.
fn script<'a>(program: &[u8], arguments: &[&'a [u8]]) -> Option<Script<'a>> {
    let grammar = grammar(program)?;
    let is_in = |list: &[&str], word: &[u8]| list.iter().any(|name| name.as_bytes() == word);
    let is_python = std::ptr::eq(grammar, &PYTHON);
    let mut words = arguments.iter().copied();
    let mut may_be_command = true;
    while let Some(word) = words.next() {
        if word == b"--" {
            return words.next().map(Script::File);
        }
        if is_in(grammar.inline, word) {
            return None;
        }
        if is_in(grammar.valued, word) {
            words.next()?;
            continue;
        }
        match word {
            [b'-', b'-', ..] => {}
            [b'-' | b'+', letters @ ..] => {
                // `-um module`, `-mmodule`; a value that is written without a space ends the letters.
                let end =
                    letters.iter().position(|letter| if is_python { b"mcWX".contains(letter) } else { grammar.letters.contains(letter) });
                match end.map(|at| (letters[at], &letters[at + 1..])) {
                    Some((b'm', [])) if is_python => return words.next().map(Script::Module),
                    Some((b'm', module)) if is_python => return Some(Script::Module(module)),
                    Some((b'W' | b'X', [])) if is_python => drop(words.next()?),
                    Some((b'W' | b'X', _)) if is_python => {}
                    Some(_) => return None,
                    None => {}
                }
            }
            command if may_be_command && is_in(grammar.commands, command) => may_be_command = false,
            file => return Some(Script::File(file)),
        }
    }
    None
}

/// A path's last component.
fn base(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..])
}

/// A script's name without what says its language.
fn stem(name: &[u8]) -> &[u8] {
    const LANGUAGES: [&[u8]; 11] = [b".js", b".mjs", b".cjs", b".ts", b".mts", b".cts", b".py", b".sh", b".bash", b".rb", b".pl"];
    LANGUAGES.iter().find_map(|language| name.strip_suffix(*language)).unwrap_or(name)
}

/// The program that an npm package installs, for one of its scripts whose own name says nothing:
/// `.../node_modules/@google/gemini-cli/dist/index.js` is gemini.
fn package(path: &[u8]) -> Option<&[u8]> {
    const ABOVE: &[u8] = b"node_modules/";
    if !SCRIPTS.iter().any(|script| script.as_bytes() == stem(base(path))) {
        return None;
    }
    let mut parts = path[memchr::memmem::rfind(path, ABOVE)? + ABOVE.len()..].split(|byte| *byte == b'/');
    let (first, second) = (parts.next()?, parts.next()?);
    let (whole, name) = if first.starts_with(b"@") { ([first, second].join(&b'/'), second) } else { (first.to_vec(), first) };
    Some(PACKAGES.iter().find(|(package, _)| package.as_bytes() == whole).map_or(name, |(_, program)| program.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_common::config::Agents;

    fn of(name: &str, arguments: &[&str]) -> Option<String> {
        let names = Agents::default().names;
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        kind(OsStr::new(name), &arguments, &names).map(String::from)
    }

    /// Under the name that the kernel gives the process.
    fn line(line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        of("x", &words)
    }

    #[test]
    fn a_program_is_known_by_its_file_or_by_what_the_system_calls_it() {
        for (name, arguments, kind) in [
            ("claude", &["claude"][..], "claude"),
            ("2.0.37", &["/home/a/.local/bin/claude", "--resume"], "claude"),
            ("claude", &["node", "/opt/app.js"], "claude"),
            ("claude", &[], "claude"),
            ("cursor-agent", &["/home/a/x/node", "index.js"], "cursor-agent"),
            ("node", &["/home/a/.local/bin/cursor-agent", "--use-system-ca", "/home/a/v/index.js"], "cursor-agent"),
            ("goose", &["-goose"], "goose"),
        ] {
            assert_eq!(of(name, arguments).as_deref(), Some(kind), "{name} {arguments:?}");
        }
    }

    #[test]
    fn a_title_of_several_words_is_read_as_a_command_line() {
        assert_eq!(of("node", &["claude --resume 7"]).as_deref(), Some("claude"));
        assert_eq!(of("node", &["node /usr/bin/codex --full-auto"]).as_deref(), Some("codex"));
        assert_eq!(of("node", &["npm exec codex"]), None);
        assert_eq!(of("x", &["/opt/my tools/claude"]).as_deref(), Some("claude"));
    }

    #[test]
    fn an_interpreter_is_known_by_its_script() {
        for (typed, kind) in [
            ("node /usr/lib/node_modules/@openai/codex/bin/codex.js", "codex"),
            ("node /usr/local/bin/gemini -m pro", "gemini"),
            ("/usr/bin/node --no-warnings --max-old-space-size=8192 node_modules/.bin/claude", "claude"),
            ("node -r /opt/hook.js --import tsx /x/codex.mjs", "codex"),
            ("nodejs -- amp.cjs", "amp"),
            ("node /n/node_modules/@anthropic-ai/claude-code/cli.js --resume", "claude"),
            ("node --no-warnings=DEP0040 /n/node_modules/@google/gemini-cli/dist/index.js", "gemini"),
            ("node /n/node_modules/@sourcegraph/amp/dist/main.js", "amp"),
            ("node /n/node_modules/@github/copilot/index.js", "copilot"),
            ("node /n/node_modules/opencode-ai/index.js", "opencode"),
            ("bun /x/opencode.ts", "opencode"),
            ("bun run opencode", "opencode"),
            ("deno run -A --config d.json /x/amp.ts", "amp"),
            ("python3 /home/a/.local/bin/aider --model x", "aider"),
            ("/opt/venv/bin/python3.12 -u -W ignore /opt/venv/bin/aider", "aider"),
            ("python -m aider", "aider"),
            ("python3 -X dev -Bm aider.__main__", "aider"),
            ("python3 -maider", "aider"),
            ("pypy3 aider.py", "aider"),
            ("ruby -I lib goose.rb", "goose"),
            ("perl -w goose.pl", "goose"),
            ("sh ./claude", "claude"),
            ("/bin/bash -eu -o pipefail /home/a/bin/codex.sh --x", "codex"),
            ("-bash /home/a/bin/codex", "codex"),
        ] {
            assert_eq!(line(typed).as_deref(), Some(kind), "{typed}");
        }
    }

    #[test]
    fn what_only_speaks_of_one_is_none() {
        for typed in [
            "vim claude-notes.txt",
            "vim claude",
            "tail -f codex.log",
            "man claude",
            "tmux attach -t claude",
            "git clone https://x/claude",
            "claude-squad",
            "claudes",
            "Claude",
            "/opt/claude/bin/server",
            "node /home/claude/app.js",
            "node /n/node_modules/@openai/codex/scripts/postinstall.js",
            "node /n/node_modules/claude-notes/index.js",
            "node /home/a/codex/index.js",
            "node server.js claude",
            "node -r codex.js server.js",
            "node -e claude",
            "node",
            "python3 -c claude",
            "python3 -m http.server claude",
            "python3 -um pytest aider",
            "python3 - aider",
            "python3 -W aider x.py",
            "sh -c claude",
            "bash -lc claude",
            "bash -s claude",
            "bash -o claude",
            "bash --rcfile claude",
            "bash",
            "-bash",
            "npx @openai/codex",
            "node /usr/bin/npx @openai/codex",
            "uvx aider",
            "sudo claude",
            "env claude",
            "",
            " ",
        ] {
            assert_eq!(line(typed), None, "{typed}");
        }
        assert_eq!(of("sleep", &[]), None);
    }

    #[test]
    fn the_names_are_the_callers_and_one_that_the_kernel_cuts_off_is_compared_in_full() {
        let names = ["my-agent-of-many-words".to_string(), "my-agent-of-man".to_string(), "clau".to_string()];
        let of = |name: &str, word: &str| kind(OsStr::new(name), &[word.into()], &names).map(String::from);
        assert_eq!(of("my-agent-of-man", "/x/my-agent-of-many-words").as_deref(), Some("my-agent-of-many-words"));
        assert_eq!(of("my-agent-of-man", "/x/my-agent-of-many-things"), None);
        assert_eq!(of("x", "/x/my-agent-of-man").as_deref(), Some("my-agent-of-man"));
        assert_eq!(of("claude", "claude"), None);
        assert_eq!(kind(OsStr::new("claude"), &["claude".into()], &[]), None);
    }

    #[test]
    fn what_is_not_utf8_is_compared_all_the_same() {
        let word = OsStr::from_bytes(b"/home/\xff/claude").to_os_string();
        assert_eq!(kind(OsStr::new("x"), &[word], &["claude".to_string()]), Some("claude"));
    }
}
