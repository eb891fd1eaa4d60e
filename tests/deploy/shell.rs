//! Shell scripts, as far as documents have them: their commands as words. Nothing is run.

/// A script in which `<id>` and the like stand for themselves, as words, and so does `…`.
pub(crate) fn without_placeholders(script: &str) -> String {
    let mut out = String::new();
    let mut rest = script;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let name = after[1..].split('>').next().unwrap();
        let is_name = |c: char| c.is_ascii_alphabetic() || "_- ".contains(c);
        if after.len() > name.len() + 1 && !name.is_empty() && name.chars().all(is_name) {
            // What epochs and times are.
            out.push_str(if ["number", "ms"].contains(&name) {
                "26"
            } else {
                "x"
            });
            rest = &after[name.len() + 2..];
        } else {
            out.push('<');
            rest = &after[1..];
        }
    }
    out + rest
}

/// The commands of a script, without assignments, redirections and what controls them. What is below `$(` or in a pipe is one of its
/// own; variables stay as they are.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut reader = Reader::default();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        reader.line(line);
        // What stands in a heredoc is no command.
        if let Some((_, end)) = line.split_once("<<") {
            let end = end.trim().trim_matches('\'');
            lines.find(|line| line.trim() == end);
        }
    }
    reader.end();
    let named = reader.found.into_iter().map(|words| proper(&words));
    named.filter(|words| !words.is_empty()).collect()
}

/// Without what stands in front of the program, and where its output goes.
fn proper(mut words: &[String]) -> Vec<String> {
    const CONTROL: [&str; 10] = [
        "while", "until", "if", "then", "do", "else", "!", "exec", "export", "{",
    ];
    let goes = |word: &String| word.starts_with('>') || word.starts_with("2>");
    if let Some(at) = words.iter().position(goes) {
        words = &words[..at];
    }
    while let Some((first, rest)) = words.split_first() {
        let behind = |what: &str| {
            rest.iter()
                .position(|word| word == what)
                .map(|at| &rest[at + 1..])
        };
        let name = first.split('=').next().unwrap();
        let is_set = name.len() < first.len() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let inner = match &**first {
            _ if is_set => Some(rest),
            word if CONTROL.contains(&word) || word.ends_with("()") => Some(rest),
            // What is run as somebody else, or somewhere else.
            "sudo" => rest.get(2..),
            "sh" if rest.first().is_some_and(|flag| flag == "-c") => {
                return commands(&rest[1]).into_iter().next().unwrap_or_default();
            }
            "podman" if rest[0] == "exec" => rest.get(2..),
            "kubectl" => behind("--"),
            "cargo" => behind("--bin"),
            "systemd-run" => rest.iter().position(|word| word == "sh").map(|at| &rest[at..]),
            _ => None,
        };
        match inner {
            Some(inner) => words = inner,
            None => break,
        }
    }
    words.to_vec()
}

#[derive(Default)]
struct Reader {
    found: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    quote: Option<char>,
    /// What is gone on with behind the `)` of a `$(`.
    outside: Vec<(Vec<String>, String, Option<char>)>,
}

impl Reader {
    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end(&mut self) {
        self.end_word();
        self.found.push(std::mem::take(&mut self.words));
    }

    fn add(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn line(&mut self, line: &str) {
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            let next = characters.peek().copied();
            match (self.quote, c) {
                (Some('\''), _) if c != '\'' => self.add(c),
                (Some(quote), _) if c == quote => self.quote = None,
                (_, '\\') if next.is_none() => return, // goes on in the next line
                (_, '\\') => {
                    self.add(characters.next().unwrap());
                }
                (_, '$') if next == Some('(') => {
                    characters.next();
                    let word = self.word.take().unwrap_or_default();
                    let quote = self.quote.take();
                    self.outside.push((std::mem::take(&mut self.words), word, quote));
                }
                (Some(_), _) => self.add(c),
                (None, ')') if !self.outside.is_empty() => {
                    self.end();
                    if let Some((words, word, quote)) = self.outside.pop() {
                        (self.words, self.word, self.quote) = (words, Some(word + "x"), quote);
                    }
                }
                (None, '\'' | '"') => {
                    self.quote = Some(c);
                    self.word.get_or_insert_default();
                }
                (None, '#') if self.word.is_none() => break,
                (None, ' ' | '\t') => self.end_word(),
                (None, ';' | '|' | '&') => self.end(),
                (None, _) => self.add(c),
            }
        }
        match self.quote {
            Some(_) => self.add('\n'),
            None if self.outside.is_empty() => self.end(),
            None => self.end_word(),
        }
    }
}

#[test]
fn a_script_is_its_commands() {
    let script = "export A=1 # why; not\n\
        id=$(curl -X POST \"$url/backup\" -d '{\"dbs\": [\"'$id'\"]}'); wait_for \"$id\"\n\
        while zk-backup ls | grep -q \"a b\"; do sleep 1; done\n\
        sudo -u zk-backup zk-backup --storage /var \\\n    restore latest\n\
        zkCli.sh <<'END'\nzk-backup none\nEND\n\
        kubectl exec pod -- zk-backup status && B=2 zk-backup-daemon\n\
        systemd-run -p A=b sh -c 'C=$D exec zk-backup status --live'\n";
    let found = commands(script);
    let found: Vec<_> = found.iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        found,
        [
            "curl -X POST $url/backup -d {\"dbs\": [\"$id\"]}",
            "wait_for $id",
            "zk-backup ls",
            "grep -q a b",
            "sleep 1",
            "done",
            "zk-backup --storage /var restore latest",
            "zkCli.sh <<END",
            "zk-backup status",
            "zk-backup-daemon",
            "zk-backup status --live",
        ]
    );
    assert_eq!(
        without_placeholders("post /evict/<id>; restore --raise-epoch=<number> <<'END'"),
        "post /evict/x; restore --raise-epoch=26 <<'END'"
    );
}
