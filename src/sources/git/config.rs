//! git's configuration files: how to read one, and how to take the secrets out of it.

use std::ops::Range;

/// One piece of such a file, with the range of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub span: Range<usize>,
    pub kind: PieceKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// `[section "subsection"]`, in small letters except for the subsection.
    Section(Vec<u8>),
    Comment,
    Variable {
        /// `section.subsection.name`, in small letters except for the subsection.
        name: Vec<u8>,
        /// None if there is no `=`, which means "true".
        value: Option<Vec<u8>>,
    },
}

/// Returns the pieces of a file, or None if git itself would not read it.
pub(super) fn pieces(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut reader = Reader { bytes, at: 0 };
    if bytes.starts_with("\u{feff}".as_bytes()) {
        reader.at = 3;
    }
    let mut found = Vec::new();
    let mut section = Vec::new();
    while let Some(byte) = reader.peek() {
        let start = reader.at;
        let kind = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                reader.at += 1;
                continue;
            }
            b'#' | b';' => {
                reader.skip_while(|byte| byte != b'\n');
                PieceKind::Comment
            }
            b'[' => {
                section = reader.section()?;
                PieceKind::Section(section.clone())
            }
            _ => reader.variable(&section)?,
        };
        found.push(Piece {
            span: start..reader.at,
            kind,
        });
    }
    Some(found)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_while(&mut self, is_such: impl Fn(u8) -> bool) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| !is_such(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn section(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let mut name = self.skip_while(is_in_name).to_ascii_lowercase();
        if self.peek()? != b']' {
            self.skip_while(|byte| b" \t".contains(&byte));
            name.push(b'.');
            self.subsection(&mut name)?;
        }
        (self.next()? == b']' && !name.is_empty()).then_some(name)
    }

    fn subsection(&mut self, name: &mut Vec<u8>) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        loop {
            match self.next()? {
                b'\n' => return None,
                b'"' => return Some(()),
                b'\\' => name.push(self.next().filter(|byte| *byte != b'\n')?),
                byte => name.push(byte),
            }
        }
    }

    fn variable(&mut self, section: &[u8]) -> Option<PieceKind> {
        let own = self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !own.first()?.is_ascii_alphabetic() {
            return None;
        }
        let dot: &[u8] = if section.is_empty() { b"" } else { b"." };
        let name = [section, dot, &own.to_ascii_lowercase()].concat();
        self.skip_while(|byte| b" \t".contains(&byte));
        let value = match self.peek() {
            Some(b'=') => {
                self.at += 1;
                Some(self.value()?)
            }
            None | Some(b'\n') => None,
            Some(b'\r') if self.bytes.get(self.at + 1) == Some(&b'\n') => None,
            Some(_) => return None,
        };
        Some(PieceKind::Variable { name, value })
    }

    /// Reads up to the end of the line, and leaves the end itself.
    fn value(&mut self) -> Option<Vec<u8>> {
        self.skip_while(|byte| b" \t".contains(&byte));
        let mut value = Vec::new();
        let mut is_quoted = false;
        // Blanks at the end do not count.
        let mut length = 0;
        while let Some(byte) = self.peek().filter(|byte| *byte != b'\n') {
            self.at += 1;
            match byte {
                b'\r' if self.peek() == Some(b'\n') => continue,
                b'#' | b';' if !is_quoted => {
                    // The comment is a piece of its own.
                    self.at -= 1;
                    break;
                }
                b'"' => is_quoted = !is_quoted,
                b'\\' => self.escaped(&mut value)?,
                byte => value.push(byte),
            }
            if is_quoted || !byte.is_ascii_whitespace() {
                length = value.len();
            }
        }
        value.truncate(length);
        (!is_quoted).then_some(value)
    }

    fn escaped(&mut self, value: &mut Vec<u8>) -> Option<()> {
        // The end of the file ends the line, too.
        match self.next().unwrap_or(b'\n') {
            b'\n' => {}
            b'\r' if self.peek() == Some(b'\n') => self.at += 1,
            b'n' => value.push(b'\n'),
            b't' => value.push(b'\t'),
            b'b' => value.push(8),
            byte @ (b'"' | b'\\') => value.push(byte),
            _ => return None,
        }
        Some(())
    }
}

/// Returns the same file without its secrets, and without the variables whose name and value satisfy `or_such`. Returns
/// None if git itself would not read the file.
pub(in crate::sources) fn without_secrets(bytes: &[u8], or_such: impl Fn(&[u8], &[u8]) -> bool) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for piece in pieces(bytes)? {
        kept.extend(&bytes[at..piece.span.start]);
        let is_such = match &piece.kind {
            PieceKind::Variable {
                name,
                value: Some(value),
            } => or_such(name, value),
            _ => false,
        };
        if !is_such && !is_secret(&piece.kind, &bytes[piece.span.clone()]) {
            kept.extend(&bytes[piece.span.clone()]);
        }
        at = piece.span.end;
    }
    kept.extend(&bytes[at..]);
    Some(without_users(&kept))
}

fn is_secret(kind: &PieceKind, text: &[u8]) -> bool {
    const NAMES: [&str; 7] = ["extraheader", "pass", "token", "secret", "apikey", "api-key", "cookie"];
    const WORDS: [&str; 12] = [
        "authorization:",
        "bearer ",
        "private-token",
        "password=",
        "password:",
        "passwd=",
        "token=",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
    ];
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let is_named_so = |text: &str| NAMES.iter().any(|part| text.contains(part));
    let is_such = match kind {
        PieceKind::Section(_) => return false,
        PieceKind::Comment => is_named_so(&text),
        PieceKind::Variable { name, .. } => {
            let own = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
            name.starts_with(b"credential.") || is_named_so(&String::from_utf8_lossy(own))
        }
    };
    is_such || WORDS.iter().any(|word| text.contains(word))
}

/// Returns the text with the user taken out of its addresses, because the user may be a token; `ssh://git@host` keeps
/// its name.
fn without_users(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(found) = rest.windows(3).position(|three| three == b"://") {
        let (before, after) = rest.split_at(found + 3);
        kept.extend(before);
        let ends = |byte: &u8| matches!(byte, b'/' | b'"' | b'\'') || byte.is_ascii_whitespace();
        let host = after.iter().position(ends).unwrap_or(after.len());
        let user = after[..host].iter().rposition(|byte| *byte == b'@');
        let is_name = |user: usize| before.ends_with(b"ssh://") && !after[..user].contains(&b':');
        rest = match user.filter(|user| !is_name(*user)) {
            Some(user) => &after[user + 1..],
            None => after,
        };
    }
    kept.extend(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (Vec<u8>, Option<Vec<u8>>);

    /// Returns what git says of such a file: names and values, in git's own words.
    fn of_git(bytes: &[u8]) -> Option<Vec<Pair>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let git = std::process::Command::new("git")
            .args(["config", "--no-includes", "--list", "-z", "--file"])
            .arg(file.path())
            .output()
            .unwrap();
        let lines = git.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let pairs = lines.map(|line| match line.iter().position(|byte| *byte == b'\n') {
            Some(end) => (line[..end].to_vec(), Some(line[end + 1..].to_vec())),
            None => (line.to_vec(), None),
        });
        git.status.success().then(|| pairs.collect())
    }

    fn ours(bytes: &[u8]) -> Option<Vec<Pair>> {
        let pairs = pieces(bytes)?.into_iter().filter_map(|piece| match piece.kind {
            PieceKind::Variable { name, value } => Some((name, value)),
            _ => None,
        });
        Some(pairs.collect())
    }

    #[test]
    fn files_are_read_as_git_reads_them() {
        for text in [
            "",
            "[a]\n\tb = c\n",
            "\u{feff}[core]\r\n\tautocrlf = input\r\n[x] y\n",
            "[a \"B c\\\"d\\\\\"] e = 1 # not this\n  f=2;nor this\n[A.Sub]\ng\n",
            "[a]\nb = one two   \n c = \" x \" y \n d = \"#\" ; e\n f = a\\\nb\\tc\\\"\\\\\n",
            "[a]\nb = \nc =\n",
            "[a]\nb-1 = x\n; comment\n# [z]\n[b]c=d",
            "[a]\nb = \"unended\n",
            "[a]\nb = \\q\n",
            "b = c\n",
            "[a\nb = c\n",
            "[a \"x\n\"]\n",
            "[a]\n1 = c\n",
            "[a]\nb c\n",
            "[includeIf \"gitdir:~/Work/\"]\n\tPath = ~/.gitconfig-work\n",
            "[a]\nb = x\\",
            "[]\nb = c\n",
            "[a] [b] c = \"\" \n",
        ] {
            assert_eq!(ours(text.as_bytes()), of_git(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_is_secret_does_not_go_and_the_rest_does() {
        let text = "[core]\n\tautocrlf = input # see token=abc1\n\tfileMode = false\n# password: abc2\n\
            [url \"https://abc3@github.com/\"]\n\tinsteadOf = https://github.com/\n\
            [http \"https://git.lan\"] extraHeader = \"Authorization: \\\n  bearer abc4\"\n\
            [credential]\n\thelper = \"!f() { echo abc5; }; f\"\n[github]\n\ttoken = abc6\n\
            [remote \"origin\"]\n\turl = https://me:abc7@git.lan/a.git\n\turl = ssh://git@git.lan/b\n\tpushurl = ssh://me:abc8@git.lan/b\n\
            [http]\n\tproxy = http://u:ab@c9@proxy:80\n[sendemail]\n\tsmtpPass = abc10\n\
            [alias]\n\tx = !curl -H 'PRIVATE-TOKEN: abc11'\n[filter \"crypt\"]\n\tclean = crypt clean\n";
        let clean = String::from_utf8(without_secrets(text.as_bytes(), |_, _| false).unwrap()).unwrap();
        assert!(!clean.contains("abc") && !clean.contains("c9@"), "{clean}");
        let kept = |text: &str| {
            let pairs = of_git(text.as_bytes()).unwrap().into_iter();
            pairs.map(|(name, value)| {
                [name, value.unwrap()]
                    .map(|bytes| String::from_utf8(bytes).unwrap())
                    .join("=")
            })
        };
        let kept: Vec<String> = kept(&clean).collect();
        assert_eq!(
            kept,
            [
                "core.autocrlf=input",
                "core.filemode=false",
                "url.https://github.com/.insteadof=https://github.com/",
                "remote.origin.url=https://git.lan/a.git",
                "remote.origin.url=ssh://git@git.lan/b",
                "remote.origin.pushurl=ssh://git.lan/b",
                "http.proxy=http://proxy:80",
                "filter.crypt.clean=crypt clean",
            ]
        );
    }

    #[test]
    fn nothing_is_changed_where_nothing_is_secret() {
        let text = "[user]\n\temail = me@lab\n[url \"git@github.com:\"]\n\tinsteadOf = https://github.com/@\n";
        assert_eq!(without_secrets(text.as_bytes(), |_, _| false).unwrap(), text.as_bytes());
        assert_eq!(without_secrets(b"[core\n", |_, _| false), None);
    }
}
